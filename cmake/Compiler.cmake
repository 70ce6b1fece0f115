# Flags that every unit gets. No -march, no fast-math: instruction sets are chosen per unit
# (see phial_isa_unit in Rooms.cmake), and results must not depend on contraction.
add_compile_options(-Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion
                    $<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor>
                    $<$<COMPILE_LANGUAGE:CXX>:-Woverloaded-virtual> -ffp-contract=off)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # gcc's flow analysis reports false positives inside std::string and std::variant at -O2.
  add_compile_options(-Wno-maybe-uninitialized -Wno-restrict -Wno-stringop-overflow
                      -Wno-array-bounds)
endif()
if(PHIAL_WARNINGS_AS_ERRORS)
  add_compile_options(-Werror)
endif()

if(PHIAL_SANITIZE)
  # Instrumented code is slow to compile; light optimization takes a third of the time.
  add_compile_options(-O1 -g1)
  add_compile_options(-fsanitize=${PHIAL_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  if(PHIAL_SANITIZE MATCHES "undefined")
    # What these find the address sanitizer finds as well; they would double the time to compile.
    add_compile_options(-fno-sanitize=null,vptr,object-size)
  endif()
  add_link_options(-fsanitize=${PHIAL_SANITIZE})
endif()
if(PHIAL_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link,address,undefined -fno-omit-frame-pointer
                      -fno-sanitize-recover=all)
  add_link_options(-fsanitize=address,undefined)
endif()

find_program(PHIAL_CCACHE ccache)
if(PHIAL_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${PHIAL_CCACHE})
endif()
