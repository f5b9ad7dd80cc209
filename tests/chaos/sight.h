// What of a run and its processes can be seen from outside.
#ifndef LOCKSTEP_TESTS_CHAOS_SIGHT_H_
#define LOCKSTEP_TESTS_CHAOS_SIGHT_H_

#include <sys/types.h>

#include <filesystem>
#include <set>
#include <string>

namespace lockstep::testing {

// The state letter of a process ('T': stopped); 0 when it is not there.
char StateOf(pid_t pid);

// From its making on, which is to be right before a start of the run.
class Sight {
 public:
  explicit Sight(const std::string& run_folder);

  // The last step that was told since then; 0: none.
  int Step() const;
  // The newest generation that anyone has called for.
  int Generation() const;
  // How many saves have been seen under way, or 0 while none is.
  int Saves();

 private:
  const std::string folder_, metrics_;
  std::filesystem::file_time_type before_;
  bool metrics_seen_ = false;
  std::set<std::string> saves_;
};

}  // namespace lockstep::testing

#endif  // LOCKSTEP_TESTS_CHAOS_SIGHT_H_
