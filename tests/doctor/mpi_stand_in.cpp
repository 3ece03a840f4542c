// What trainer doctor asks of a library of MPI: its version, as MPICH writes it, with a tab and several lines.
#include <cstring>

extern "C" int MPI_Get_library_version(char* version, int* length) {
  std::strcpy(version, "MPICH Version:\t4.0.2\nMPICH Release date:\tThu Apr  7");
  *length = static_cast<int>(std::strlen(version));
  return 0;
}
