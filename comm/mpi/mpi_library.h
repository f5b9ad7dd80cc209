// MPI's C interface, without the C++ classes that some libraries still declare there. Only comm/mpi includes
// it.
#ifndef LOCKSTEP_COMM_MPI_MPI_LIBRARY_H_
#define LOCKSTEP_COMM_MPI_MPI_LIBRARY_H_

#define OMPI_SKIP_MPICXX 1
#define MPICH_SKIP_MPICXX 1
#include <mpi.h>

#endif  // LOCKSTEP_COMM_MPI_MPI_LIBRARY_H_
