# Writes version.hpp at build time, so that the commit in a run's record is that of the compiled sources; a
# file that would not change is left alone. Run as a script with SOURCE_DIR, INPUT, OUTPUT and the values to fill in.
# TRAINER_COMMIT, if set, names the commit of sources that came without their repository (the container image).
find_program(GIT git)
if(GIT AND NOT TRAINER_COMMIT)
  execute_process(COMMAND ${GIT} -C ${SOURCE_DIR} describe --always --dirty --abbrev=12 --exclude *
                  OUTPUT_VARIABLE TRAINER_COMMIT OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
configure_file(${INPUT} ${OUTPUT} @ONLY)
