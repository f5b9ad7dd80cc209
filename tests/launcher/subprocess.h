// Runs a program and looks at what it does, for tests of whole processes.
#ifndef LOCKSTEP_TESTS_LAUNCHER_SUBPROCESS_H_
#define LOCKSTEP_TESTS_LAUNCHER_SUBPROCESS_H_

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

namespace lockstep::testing {

class Subprocess {
 public:
  // Starts `arguments` ([0] is the program's path). Its standard output and error go to a temporary file.
  explicit Subprocess(const std::vector<std::string>& arguments);
  ~Subprocess();  // kills it if it runs
  Subprocess(const Subprocess&) = delete;
  Subprocess& operator=(const Subprocess&) = delete;

  pid_t pid() const { return pid_; }
  void Signal(int signal) const;
  bool Running();              // it has not ended; otherwise Wait returns at once
  int Wait();                  // its exit code, or 128 + the signal that killed it; -1 the second time
  std::string Output() const;  // what it has written so far
  // Waits until `text` appears `times` times in the output. False after 30 s.
  bool WaitForOutput(const std::string& text, int times) const;

 private:
  pid_t pid_ = 0;
  bool running_ = false;
  bool ended_ = false;  // with status_, which nobody has asked for
  int status_ = 0;
  std::string output_path_;
};

// Polls until `condition` holds; false after 30 s.
bool WaitUntil(const std::function<bool()>& condition);

// Whether a process runs (a zombie does not).
bool IsRunning(pid_t pid);

}  // namespace lockstep::testing

#endif  // LOCKSTEP_TESTS_LAUNCHER_SUBPROCESS_H_
