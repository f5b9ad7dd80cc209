#include "tests/launcher/subprocess.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>

namespace lockstep::testing {
namespace {

constexpr auto kPatience = std::chrono::seconds(30);

}  // namespace

Subprocess::Subprocess(const std::vector<std::string>& arguments) {
  std::string path = "/tmp/lockstep-test-XXXXXX";
  const int output = mkstemp(path.data());
  output_path_ = path;
  std::vector<char*> pointers;
  for (const std::string& argument : arguments) pointers.push_back(const_cast<char*>(argument.c_str()));
  pointers.push_back(nullptr);
  pid_ = fork();
  if (pid_ == 0) {
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    execv(pointers[0], pointers.data());
    _exit(126);
  }
  close(output);
  running_ = pid_ > 0;
}

Subprocess::~Subprocess() {
  if (running_) {
    if (!ended_) Signal(SIGKILL);
    Wait();
  }
  unlink(output_path_.c_str());
}

void Subprocess::Signal(int signal) const {
  if (running_ && !ended_) kill(pid_, signal);  // its number may be another's by now
}

bool Subprocess::Running() {
  if (running_ && !ended_) ended_ = waitpid(pid_, &status_, WNOHANG) == pid_;
  return running_ && !ended_;
}

int Subprocess::Wait() {
  if (!running_ || (!ended_ && waitpid(pid_, &status_, 0) != pid_)) return -1;
  running_ = false;
  return WIFSIGNALED(status_) ? 128 + WTERMSIG(status_) : WEXITSTATUS(status_);
}

std::string Subprocess::Output() const {
  std::stringstream text;
  text << std::ifstream(output_path_).rdbuf();
  return text.str();
}

bool Subprocess::WaitForOutput(const std::string& text, int times) const {
  return WaitUntil([&] {
    const std::string output = Output();
    int found = 0;
    for (size_t at = output.find(text); at != output.npos; at = output.find(text, at + text.size())) ++found;
    return found >= times;
  });
}

bool WaitUntil(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

bool IsRunning(pid_t pid) {
  std::string line;
  std::getline(std::ifstream("/proc/" + std::to_string(pid) + "/stat"), line);
  const size_t name_end = line.rfind(')');  // "pid (name) state ..."
  return name_end != line.npos && line[name_end + 2] != 'Z' && line[name_end + 2] != 'X';
}

}  // namespace lockstep::testing
