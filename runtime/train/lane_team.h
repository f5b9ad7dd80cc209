// The threads of one rank that run lanes and share the element-wise work of an update.
#ifndef LOCKSTEP_RUNTIME_TRAIN_LANE_TEAM_H_
#define LOCKSTEP_RUNTIME_TRAIN_LANE_TEAM_H_

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace lockstep::train {

// A fixed number of threads, each prepared for arithmetic (PrepareLaneThread) before its first task. Run is
// called from one thread at a time and returns when every member has finished.
class LaneTeam {
 public:
  explicit LaneTeam(int threads);  // at least 1
  ~LaneTeam();
  LaneTeam(const LaneTeam&) = delete;
  LaneTeam& operator=(const LaneTeam&) = delete;

  int size() const { return static_cast<int>(threads_.size()); }

  // task(member) on every member, member in [0, size()).
  void Run(const std::function<void(int member)>& task);

 private:
  void Loop(int member);

  std::mutex mutex_;
  std::condition_variable start_, finished_;
  const std::function<void(int)>* task_ = nullptr;  // of the round in progress
  uint64_t round_ = 0;
  int running_ = 0;
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_LANE_TEAM_H_
