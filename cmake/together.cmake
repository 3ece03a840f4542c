# trainer_compile_together(target [MOST files]): the .cpp files of each folder of a target are compiled as one, at most so
# many at a time (default 16), so that the headers of JSON, text and the command line are read and instantiated once for
# all of them: a seventh of the time for the program's own folders. Files with options of their own stay alone.
# What one folder's files keep to themselves needs one name in it. -DTRAINER_TOGETHER=OFF compiles each file alone, which
# shows whether each includes what it uses.
function(trainer_compile_together target)
  cmake_parse_arguments(arg "" "MOST" "" ${ARGN})
  if(NOT TRAINER_TOGETHER)
    return()
  endif()
  if(NOT arg_MOST)
    set(arg_MOST 16)
  endif()
  get_target_property(sources ${target} SOURCES)
  foreach(source IN LISTS sources)
    if(NOT source MATCHES "\\.cpp$")
      continue()
    endif()
    get_filename_component(folder ${source} DIRECTORY)
    string(MAKE_C_IDENTIFIER "of_${folder}" folder)
    math(EXPR ${folder}_files "${${folder}_files} + 1")
    math(EXPR part "(${${folder}_files} - 1) / ${arg_MOST}")
    set_source_files_properties(${source} PROPERTIES UNITY_GROUP ${folder}_${part})
  endforeach()
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
endfunction()
