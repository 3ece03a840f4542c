# cmake --install: the program to bin/, the shipped networks, MNIST and the files for clusters to share/mnist-trainer/, where the program
# finds them (trainer/CMakeLists.txt compiles these paths in).
install(TARGETS trainer RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY models/ DESTINATION ${CMAKE_INSTALL_DATADIR}/mnist-trainer/models
        FILES_MATCHING PATTERN "*.yaml")
install(DIRECTORY data/mnist/ DESTINATION ${CMAKE_INSTALL_DATADIR}/mnist-trainer/mnist)
install(DIRECTORY deploy/ DESTINATION ${CMAKE_INSTALL_DATADIR}/mnist-trainer/deploy USE_SOURCE_PERMISSIONS)
if(NOT TRAINER_PACKAGE) # the package has its own copyright file
  install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/mnist-trainer)
endif()
# The plugins for MPI, those that were built. A package would depend on every MPI of the machine that makes it, so it has none.
foreach(mpi openmpi mpich)
  if(TARGET trainer_${mpi} AND NOT TRAINER_PACKAGE)
    install(TARGETS trainer_${mpi} LIBRARY DESTINATION lib/mnist-trainer OPTIONAL)
  endif()
endforeach()
