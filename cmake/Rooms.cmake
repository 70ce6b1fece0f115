# A room is a folder under src/: all of its *.cc become one object library, every *_test.cc beside
# them one test program. The library is the sum of the rooms.

set_property(GLOBAL PROPERTY PHIAL_ROOMS "")

# phial_room(name [LINK libraries...])
function(phial_room name)
  cmake_parse_arguments(ROOM "" "" "LINK" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${name}/*.cc)
  list(FILTER sources EXCLUDE REGEX "_test\\.cc$")
  if(NOT sources)
    return()
  endif()
  add_library(phial_${name} OBJECT ${sources})
  target_include_directories(phial_${name} PUBLIC ${CMAKE_SOURCE_DIR}/src
                                                  ${CMAKE_SOURCE_DIR}/include)
  get_property(rooms GLOBAL PROPERTY PHIAL_ROOMS)
  foreach(below IN LISTS rooms)
    # Between object libraries this passes on usage requirements only; the objects are gathered
    # once, in phial_library().
    target_link_libraries(phial_${name} PUBLIC phial_${below})
  endforeach()
  target_link_libraries(phial_${name} PUBLIC ${ROOM_LINK})
  set_property(GLOBAL APPEND PROPERTY PHIAL_ROOMS ${name})
  set_property(GLOBAL APPEND PROPERTY PHIAL_LINK ${ROOM_LINK})
  foreach(source IN LISTS sources)
    phial_isa_unit(${source})
  endforeach()
endfunction()

# A unit named *_avx2.cc, *_avxvnni.cc, *_avx512.cc, *_avx512vnni.cc, *_avx512bf16.cc,
# *_neon_dotprod.cc or *_neon_i8mm.cc is compiled for that instruction set, and only it; for other
# processors it is empty, and needs no flags.
function(phial_isa_unit source)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
    if(source MATCHES "_neon_(dotprod|i8mm)\\.cc$")
      set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS
        "-march=armv8.2-a+dotprod$<$<STREQUAL:${CMAKE_MATCH_1},i8mm>:+i8mm>")
    endif()
  elseif(source MATCHES "_avx2\\.cc$")
    set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "-mavx2;-mfma;-mf16c")
  elseif(source MATCHES "_avxvnni\\.cc$")
    set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "-mavx2;-mfma;-mf16c;-mavxvnni")
  elseif(source MATCHES "_avx512(vnni|bf16)?\\.cc$")
    set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS
      "-mavx2;-mfma;-mf16c;-mavx512f;-mavx512bw;-mavx512dq;-mavx512vl$<$<BOOL:${CMAKE_MATCH_1}>:;-mavx512${CMAKE_MATCH_1}>")
  endif()
endfunction()

# The library: `phial_static` for our own programs and tests, `phial_shared` (libphial.so) which
# shows nothing but the functions of include/phial/phial.h.
function(phial_library)
  get_property(rooms GLOBAL PROPERTY PHIAL_ROOMS)
  get_property(link GLOBAL PROPERTY PHIAL_LINK)
  set(objects "")
  foreach(room IN LISTS rooms)
    list(APPEND objects $<TARGET_OBJECTS:phial_${room}>)
  endforeach()
  add_library(phial_static STATIC ${objects})
  add_library(phial_shared SHARED ${objects})
  set_target_properties(phial_static phial_shared PROPERTIES OUTPUT_NAME phial)
  set_target_properties(phial_shared PROPERTIES
    SOVERSION 0 VERSION ${PROJECT_VERSION} LINK_DEPENDS ${CMAKE_SOURCE_DIR}/cmake/exports.map)
  # Hidden visibility is not enough: instances of standard templates would still be shown.
  target_link_options(phial_shared PRIVATE
    -Wl,--version-script=${CMAKE_SOURCE_DIR}/cmake/exports.map)
  target_include_directories(phial_static PUBLIC $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/include>)
  target_include_directories(phial_shared PUBLIC $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/include>)
  target_link_libraries(phial_static PUBLIC ${link})
  target_link_libraries(phial_shared PRIVATE ${link})
endfunction()

# One test program per room, found by ctest case by case.
function(phial_room_tests)
  if(NOT PHIAL_TESTS)
    return()
  endif()
  get_property(rooms GLOBAL PROPERTY PHIAL_ROOMS)
  foreach(room IN LISTS rooms)
    file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${room}/*_test.cc)
    if(sources)
      add_executable(${room}_test ${sources})
      target_include_directories(${room}_test PRIVATE ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR})
      target_link_libraries(${room}_test PRIVATE phial_static GTest::gmock_main)
      # Tests spend their time in the library; light optimization halves their build.
      target_compile_options(${room}_test PRIVATE -O1)
      if(PHIAL_SANITIZE MATCHES "undefined")
        target_compile_options(${room}_test PRIVATE -fno-sanitize=alignment)  # of the tests' own code
      endif()
      target_compile_definitions(${room}_test PRIVATE PHIAL_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
      gtest_discover_tests(${room}_test TEST_PREFIX "${room}." NO_PRETTY_VALUES
                           DISCOVERY_TIMEOUT 60 PROPERTIES LABELS ${room})
    endif()
  endforeach()
endfunction()
