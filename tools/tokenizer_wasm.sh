#!/bin/sh
# Compiles the tokenizer to a wasm32 module that exports its C API (native/tokenizer/c_api.h).
#
#   tools/tokenizer_wasm.sh tokenizer.wasm
#
# Debian: apt-get install clang lld wasi-libc libc++-dev-wasm32 libc++abi-dev-wasm32. CLANG names another compiler,
# WASI_SYSROOT another place of the C library than Debian's.
set -eu

out=${1:?usage: tokenizer_wasm.sh OUT.wasm}
root=$(cd "$(dirname "$0")/.." && pwd)

sources=
for source in "$root"/native/tokenizer/*.cpp; do
  case $source in */binding.cpp | */fuzz_test.cpp) ;; *) sources="$sources $source" ;; esac
done
exports=
for name in $(grep -o '\bot_[a-z_]*(' "$root/native/tokenizer/c_api.h" | tr -d '(' | sort -u); do
  exports="$exports -Wl,--export=$name"
done

# Debian's clang has no compiler-rt for wasm, and the sources need none of it.
# shellcheck disable=SC2086
exec ${CLANG:-clang++} --target=wasm32-wasi ${WASI_SYSROOT:+--sysroot="$WASI_SYSROOT"} \
  -std=c++20 -O2 -Wall -Wextra -Werror -fno-exceptions -fno-rtti -I"$root/native" $sources \
  -mexec-model=reactor -Wl,--strip-all -nodefaultlibs -lc++ -lc++abi -lc $exports -o "$out"
