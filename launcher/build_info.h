// What this program was built from and with.
#ifndef LOCKSTEP_LAUNCHER_BUILD_INFO_H_
#define LOCKSTEP_LAUNCHER_BUILD_INFO_H_

#include <string>

namespace lockstep::launcher {

// Filled in by CMake when it configures (build_info.cc.in).
struct BuildInfo {
  const char* version;     // of the project, "0.1.0"
  const char* source;      // `git describe` when CMake last ran, or "unknown"
  const char* compiler;    // "GNU 12.2.0"
  const char* build_type;  // "Release"
  const char* options;     // "cuda off, sanitizers none"
};
const BuildInfo& GetBuildInfo();

// Names the machine code that runs: the linker's hash of this executable (its GNU build id), else a SHA-256
// of the file, and the version of oneDNN, which is linked at run time. Ranks compare it at start.
std::string BuildId();

std::string VersionLine();  // "lockstep 0.1.0 (GNU 12.2.0, Release)"

}  // namespace lockstep::launcher

#endif  // LOCKSTEP_LAUNCHER_BUILD_INFO_H_
