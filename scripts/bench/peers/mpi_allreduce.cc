// What an MPI library does on this machine, measured as `lockstep comm all_reduce` measures: in-place sum of
// floats; before each iteration every rank rewrites its whole buffer and all meet in a barrier; a rank's
// figure is its median, and the slowest rank's is printed. Pinning is the launcher's (mpirun --bind-to core).
//   mpicxx -O3 mpi_allreduce.cc && mpirun -np 2 a.out [MIN_BYTES MAX_BYTES FACTOR ITERATIONS]...
// prints "bytes microseconds", a line a size.
#include <mpi.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace {

constexpr int kWarmup = 5;

double MedianSeconds(std::vector<float>& values, int iterations) {
  std::vector<double> seconds;
  for (int i = -kWarmup; i < iterations; ++i) {
    std::fill(values.begin(), values.end(), 1.0f);
    MPI_Barrier(MPI_COMM_WORLD);
    const double start = MPI_Wtime();
    MPI_Allreduce(MPI_IN_PLACE, values.data(), static_cast<int>(values.size()), MPI_FLOAT, MPI_SUM,
                  MPI_COMM_WORLD);
    if (i >= 0) seconds.push_back(MPI_Wtime() - start);
  }
  std::sort(seconds.begin(), seconds.end());
  return seconds[(seconds.size() - 1) / 2];
}

// Rank 0 prints a line. False when a sum was wrong.
bool Measure(size_t bytes, int iterations, int rank, int ranks) {
  std::vector<float> values(bytes / sizeof(float));
  const double mine = MedianSeconds(values, iterations);
  double slowest = 0;
  MPI_Reduce(&mine, &slowest, 1, MPI_DOUBLE, MPI_MAX, 0, MPI_COMM_WORLD);
  if (rank == 0) {
    std::printf("%zu %.3f\n", bytes, slowest * 1e6);
    std::fflush(stdout);
  }
  return std::all_of(values.begin(), values.end(),
                     [&](float value) { return value == static_cast<float>(ranks); });
}

}  // namespace

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  int rank = 0, ranks = 1;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  for (int at = 1; at + 3 < argc; at += 4) {
    const size_t least = std::strtoull(argv[at], nullptr, 10),
                 greatest = std::strtoull(argv[at + 1], nullptr, 10);
    const size_t factor = std::max(2ull, std::strtoull(argv[at + 2], nullptr, 10));
    const int iterations = std::max(1, std::atoi(argv[at + 3]));
    for (size_t bytes = least; bytes <= greatest; bytes *= factor) {
      if (Measure(bytes, iterations, rank, ranks)) continue;
      std::fprintf(stderr, "wrong sum at %zu bytes\n", bytes);
      MPI_Abort(MPI_COMM_WORLD, 1);
    }
  }
  MPI_Finalize();
  return 0;
}
