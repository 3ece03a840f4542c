# cpack -G DEB: a package for the release that it is built on; dpkg-shlibdeps determines its libraries. Besides the
# program, models and data it holds manual pages, which trainer_documents generates from the command line, shell
# completion, and the files that Debian's policy requires. scripts/build_package.sh makes it.
if(NOT TRAINER_PACKAGE)
  return()
endif()

set(package_maintainer "the mnist-trainer authors <maintainers@users.noreply.github.com>")
set(documents ${PROJECT_BINARY_DIR}/documents)
file(MAKE_DIRECTORY ${documents})
string(TIMESTAMP package_date "%Y-%m-%d" UTC) # from SOURCE_DATE_EPOCH, if that is set
string(TIMESTAMP package_time "%a, %d %b %Y %H:%M:%S +0000" UTC)
execute_process(COMMAND sed -n "s/^VERSION_CODENAME=//p" /etc/os-release
                OUTPUT_VARIABLE package_release OUTPUT_STRIP_TRAILING_WHITESPACE)

file(WRITE ${documents}/changelog.Debian
"mnist-trainer (${PROJECT_VERSION}-1) ${package_release}; urgency=medium

  * ${PROJECT_VERSION}; what changed is in changelog.gz.

 -- ${package_maintainer}  ${package_time}
")
file(READ ${PROJECT_SOURCE_DIR}/LICENSE license)
string(REGEX REPLACE "^MIT License\n\n" "" license "${license}")
string(REGEX REPLACE "\n\n" "\n.\n" license "${license}")
string(REGEX REPLACE "\n([^\n])" "\n \\1" license "${license}")
file(WRITE ${documents}/copyright
"Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: mnist-trainer

Files: *
Copyright: 2026 the mnist-trainer authors
License: Expat
 ${license}
Files: data/mnist/*.gz
Copyright: 1998 Yann LeCun, Corinna Cortes and Christopher J. C. Burges
License: CC-BY-SA-3.0
 The terms are at https://creativecommons.org/licenses/by-sa/3.0/legalcode;
 mnist/README.md beside the files names their source and their sums.
")

add_custom_command(OUTPUT ${documents}/changelog.gz
  COMMAND ${PROJECT_SOURCE_DIR}/cmake/package_documents.sh $<TARGET_FILE:trainer_documents> ${documents}
          ${PROJECT_SOURCE_DIR}/CHANGELOG.md ${package_date}
  DEPENDS trainer_documents cmake/package_documents.sh trainer/documents/completion.sh CHANGELOG.md
  COMMENT "manual pages and completion" VERBATIM)
add_custom_target(package_documents ALL DEPENDS ${documents}/changelog.gz)
install(DIRECTORY ${documents}/man/ DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(DIRECTORY ${documents}/bash/ DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(DIRECTORY ${documents}/zsh/ DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions)
install(FILES ${documents}/changelog.gz ${documents}/changelog.Debian.gz ${documents}/copyright
        DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/mnist-trainer)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME mnist-trainer)
set(CPACK_PACKAGE_VENDOR "the mnist-trainer authors")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "trains small convolutional networks and says how fast")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
"The program trainer loads MNIST, which is part of the package, or a data set
in the same form, builds small convolutional networks from short descriptions,
trains them on the processor and reports accuracy and time, so that machines
can be compared. Built from source it trains on NVIDIA GPUs too.")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_MAINTAINER "${package_maintainer}")
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
    OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
include(CPack)
