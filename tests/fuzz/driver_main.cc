// Runs a fuzz target where there is no libFuzzer: the seeds, the inputs of the folders given, and then mutations
// of both, always the same ones. fuzz_target.h has the arguments; besides, -first=N begins at mutation number N.
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>

#include "tests/fuzz/fuzz_target.h"
#include "tests/fuzz/mutate.h"

namespace lockstep::testing {
namespace {

constexpr unsigned kMaxSecondsPerInput = 20;
constexpr int64_t kMaxMemoryKib = 1 << 20;  // of the whole run

struct Arguments {
  uint64_t runs = 1000;
  double seconds = std::numeric_limits<double>::infinity();
  uint64_t first = 0;
  std::string write_seeds;
  std::vector<std::string> files;
  std::vector<std::string> inputs;  // of the folders
};

std::string ReadInput(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  Require(!file.fail(), "the input can be read", path.string());
  return text.str();
}

std::vector<std::string> ReadFolder(const std::string& folder) {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> inputs;
  for (const auto& path : paths) inputs.push_back(ReadInput(path));
  return inputs;
}

Arguments ReadArguments(int argc, char** argv) {
  Arguments arguments;
  bool runs_given = false;
  for (int i = 1; i < argc; ++i) {
    const std::string text = argv[i];
    const size_t equals = text.find('=');
    const std::string name = text.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : text.substr(equals + 1);
    if (name == "-runs") {
      arguments.runs = std::strtoull(value.c_str(), nullptr, 10);
      runs_given = true;
    } else if (name == "-max_total_time") {
      arguments.seconds = std::atof(value.c_str());
    } else if (name == "-first") {
      arguments.first = std::strtoull(value.c_str(), nullptr, 10);
    } else if (name == "-write_seeds") {
      arguments.write_seeds = value;
    } else if (text[0] == '-') {
      Require(false, "the argument is known", text);
    } else if (std::filesystem::is_directory(text)) {
      for (std::string& input : ReadFolder(text)) arguments.inputs.push_back(std::move(input));
    } else {
      arguments.files.push_back(text);
    }
  }
  if (!runs_given && arguments.seconds < std::numeric_limits<double>::infinity())
    arguments.runs = ~uint64_t{0};
  return arguments;
}

// Keeps the input under way in a file, which is there after a crash.
class Feeder {
 public:
  explicit Feeder(const std::string& program)
      : path_("/tmp/lockstep-" + std::filesystem::path(program).filename().string() + "-" +
              std::to_string(getpid())),
        fd_(open(path_.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)) {
    std::printf("fuzz: after a crash: %s %s\n", program.c_str(), path_.c_str());
    std::fflush(stdout);
    std::signal(SIGALRM, [](int) {
      constexpr std::string_view kText = "fuzz: broken rule: an input takes less than 20 s\n";
      (void)!write(2, kText.data(), kText.size());
      std::abort();
    });
  }
  ~Feeder() {
    alarm(0);
    close(fd_);
    unlink(path_.c_str());
  }

  void Feed(const std::string& input) {
    const auto size = static_cast<ssize_t>(input.size());
    Require(pwrite(fd_, input.data(), input.size(), 0) == size && ftruncate(fd_, size) == 0,
            "the input can be kept", path_);
    // A copy of its own, so that AddressSanitizer sees a read behind its end.
    const std::vector<uint8_t> bytes(input.begin(), input.end());
    alarm(kMaxSecondsPerInput);
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
    ++fed_;
  }
  uint64_t fed() const { return fed_; }

 private:
  std::string path_;
  int fd_;
  uint64_t fed_ = 0;
};

int Run(const std::string& program, const Arguments& arguments) {
  Feeder feeder(program);
  for (const std::string& file : arguments.files) feeder.Feed(ReadInput(file));
  if (!arguments.files.empty()) return 0;

  std::vector<std::string> seeds = FuzzSeeds();
  seeds.insert(seeds.end(), arguments.inputs.begin(), arguments.inputs.end());
  for (const std::string& seed : seeds) feeder.Feed(seed);
  Require(ReachedCount() > 0, "one of the seeds comes all the way");
  const auto start = std::chrono::steady_clock::now();
  const std::chrono::duration<double> time(arguments.seconds);
  for (uint64_t i = 0; i < arguments.runs && std::chrono::steady_clock::now() - start < time; ++i)
    feeder.Feed(MutatedInput(seeds, arguments.first + i));
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  Require(usage.ru_maxrss < kMaxMemoryKib, "all inputs are read in 1 GiB of memory");
  std::printf("fuzz: %llu inputs, %lld came all the way, %ld MiB at most\n",
              static_cast<unsigned long long>(feeder.fed()), static_cast<long long>(ReachedCount()),
              usage.ru_maxrss / 1024);
  return 0;
}

}  // namespace
}  // namespace lockstep::testing

int main(int argc, char** argv) {
  const lockstep::testing::Arguments arguments = lockstep::testing::ReadArguments(argc, argv);
  if (!arguments.write_seeds.empty()) {
    lockstep::testing::WriteFuzzSeeds(arguments.write_seeds);
    return 0;
  }
  return lockstep::testing::Run(argv[0], arguments);
}
