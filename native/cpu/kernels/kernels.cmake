# The packed linear kernels as a static library, each source with the flags of its instruction level.
set(KERNELS ${CMAKE_CURRENT_LIST_DIR})
add_library(ostinato_kernels STATIC ${KERNELS}/select.cpp ${KERNELS}/dequantize.cpp ${KERNELS}/portable.cpp)
add_dependencies(ostinato_kernels tables)
# Vectors wider than the machine's (bytes.h) never cross a call: all that takes them is inlined.
target_compile_options(ostinato_kernels PRIVATE -Wno-psabi)
target_include_directories(ostinato_kernels PUBLIC ${GENERATED} ${PROJECT_SOURCE_DIR}/native)

if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|amd64|AMD64)$")
  file(GLOB AVX2 CONFIGURE_DEPENDS ${KERNELS}/avx2/*.cpp)
  file(GLOB AVX512 CONFIGURE_DEPENDS ${KERNELS}/avx512/*.cpp)
  target_sources(ostinato_kernels PRIVATE ${AVX2} ${AVX512})
  target_compile_definitions(ostinato_kernels PRIVATE OSTINATO_X86)
  set_source_files_properties(${AVX2} PROPERTIES COMPILE_OPTIONS "-mavx2;-mfma;-mf16c")
  # g++ 12 warns of its own _mm512_undefined_*: "__Y is used uninitialized".
  set_source_files_properties(
    ${AVX512} PROPERTIES COMPILE_OPTIONS
    "-mavx2;-mfma;-mf16c;-mavx512f;-mavx512bw;-mavx512vl;-mavx512dq;-mavx512vnni;-Wno-uninitialized;-Wno-maybe-uninitialized")
endif()

# The kernels by themselves, for tests/native and bench/kernels.py: in development installations only.
if(OSTINATO_NATIVE_TESTS OR OSTINATO_INPLACE OR SKBUILD_STATE STREQUAL "editable")
  ostinato_module(_kernels_test ${KERNELS}/../tests/kernels_module.cpp)
  target_link_libraries(_kernels_test PRIVATE ostinato_kernels)
endif()
