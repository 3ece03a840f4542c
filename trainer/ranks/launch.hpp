// What a launcher (mpirun, srun) tells a process through its environment: its rank, and which MPI connects the ranks.
// A process without a launcher trains alone and never loads an MPI.
#pragma once

#include <functional>
#include <stdexcept>

#include "kernels/communicator.hpp"

namespace trainer {

inline constexpr int kRankLostStatus = 20;   // exit status of RankLost
inline constexpr int kSingletonStatus = 21;  // exit status of SingletonError

// A launcher started several ranks, but MPI connects none of them: each would train alone, into the same folder.
class SingletonError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A rank was lost, and one of the others has printed which one: this process ends without another word.
class ReportedRankLoss : public RankLost {
 public:
  using RankLost::RankLost;
};

enum class MpiKind { none, open_mpi, mpich };

struct Launch {
  MpiKind mpi = MpiKind::none;  // none: this process trains alone
  int rank = 0;
  int size = 0;        // the number of ranks, where the launcher says it; else 0
  int local_rank = 0;  // among those of this host; the number of this rank's GPU
  int local_size = 0;  // the number of ranks on this host, where the launcher says it; else 0
};

using Variables = std::function<const char*(const char* name)>;  // std::getenv, or a test's; null: not set

// The first of: Open MPI's variables, PMIx's, PMI's (MPICH), MVAPICH's, Slurm's. Inside mpirun in a Slurm job both sets exist,
// and mpirun's count.
Launch find_launch(const Variables& variables);

// Throws SingletonError if the launcher started several ranks and MPI's world has one: an MPI that does not understand its launcher's
// PMI silently starts as many worlds of one rank (open-mpi/ompi#13523).
void require_world(const Launch& launch, int world);

}  // namespace trainer
