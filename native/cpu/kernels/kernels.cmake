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
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64|ARM64)$")
  # neon/*.cpp once per level.
  file(GLOB NEON CONFIGURE_DEPENDS ${KERNELS}/neon/*.cpp)
  target_compile_definitions(ostinato_kernels PRIVATE OSTINATO_ARM)
  foreach(level neon:kNeon:armv8.2-a+dotprod i8mm:kI8mm:armv8.2-a+dotprod+i8mm)
    string(REPLACE ":" ";" level ${level})
    list(GET level 0 name)
    list(GET level 1 isa)
    list(GET level 2 march)
    add_library(ostinato_kernels_${name} OBJECT ${NEON})
    add_dependencies(ostinato_kernels_${name} tables)
    target_include_directories(ostinato_kernels_${name} PRIVATE ${GENERATED} ${PROJECT_SOURCE_DIR}/native)
    target_compile_definitions(ostinato_kernels_${name} PRIVATE OSTINATO_LEVEL=${name} OSTINATO_ISA=${isa})
    target_compile_options(ostinato_kernels_${name} PRIVATE -O3 -march=${march} -Wno-psabi)
    target_sources(ostinato_kernels PRIVATE $<TARGET_OBJECTS:ostinato_kernels_${name}>)
  endforeach()
endif()

# The kernels by themselves, for tests/native and bench/kernels.py: in development installations only.
if(OSTINATO_NATIVE_TESTS OR OSTINATO_INPLACE OR SKBUILD_STATE STREQUAL "editable")
  ostinato_module(_kernels_test ${KERNELS}/../tests/kernels_module.cpp)
  target_link_libraries(_kernels_test PRIVATE ostinato_kernels)
endif()
