#include "runtime/train/run_point.h"

#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"

namespace lockstep::train {
namespace {

// One field a line.
class Packer {
 public:
  void operator()(int64_t value) { absl::StrAppend(&text_, value, "\n"); }
  void operator()(int value) { absl::StrAppend(&text_, value, "\n"); }
  void operator()(bool value) { absl::StrAppend(&text_, value ? 1 : 0, "\n"); }
  void operator()(double value) { absl::StrAppendFormat(&text_, "%a\n", value); }
  void operator()(const std::string& value) { absl::StrAppend(&text_, absl::CHexEscape(value), "\n"); }
  std::string Take() { return std::move(text_); }

 private:
  std::string text_;
};

class Unpacker {
 public:
  explicit Unpacker(absl::string_view text) : lines_(absl::StrSplit(text, '\n')) {}

  void operator()(int64_t& value) { good_ = absl::SimpleAtoi(Next(), &value) && good_; }
  void operator()(int& value) { good_ = absl::SimpleAtoi(Next(), &value) && good_; }
  void operator()(bool& value) {
    int number = 0;
    (*this)(number);
    value = number != 0;
  }
  void operator()(double& value) {
    const std::string line(Next());
    char* end = nullptr;
    value = std::strtod(line.c_str(), &end);
    good_ = !line.empty() && *end == '\0' && good_;
  }
  void operator()(std::string& value) { good_ = absl::CUnescape(Next(), &value) && good_; }

  bool good() const { return good_; }
  bool AtEnd() const { return good_ && next_ + 1 == lines_.size() && lines_.back().empty(); }

 private:
  absl::string_view Next() {
    if (next_ < lines_.size()) return lines_[next_++];
    good_ = false;
    return "";
  }

  std::vector<absl::string_view> lines_;
  size_t next_ = 0;
  bool good_ = true;
};

// The fields, once for both ways. `Point` and `Metrics` are const for packing.
template <typename Archive, typename Metrics>
void VisitMetrics(Archive& archive, Metrics& metrics) {
  archive(metrics.step);
  for (auto* value :
       {&metrics.epoch, &metrics.loss, &metrics.lr, &metrics.grad_norm, &metrics.samples_per_second,
        &metrics.step_seconds, &metrics.comm_seconds, &metrics.data_wait_seconds}) {
    archive(*value);
  }
  archive(metrics.world_size);
  archive(metrics.generation);
  archive(metrics.skipped);
  archive(metrics.warned);
  archive(metrics.damaged);
  archive(metrics.damage);
}

template <typename Archive, typename Point>
void VisitPoint(Archive& archive, Point& point) {
  archive(point.loss);
  VisitMetrics(archive, point.last);
  archive(point.eval.step);
  archive(point.eval_scheduled);
  archive(point.new_best);
  archive(point.updated);
  archive(point.update.gradient_scale);
  archive(point.update.lr);
  archive(point.update.updates);
  archive(point.saved_step);
  archive(point.lost_step);
  archive(point.diverged);
  archive(point.began_at);
  archive(point.began_from);
  archive(point.lost);
  archive(point.signal);
  archive(point.checkpoint_due);
  archive(point.admit);
  archive(point.size);
  archive(point.paused);
  archive(point.seconds);
}

}  // namespace

bool IsFurther(const RunPoint& a, const RunPoint& b) {
  const bool a_has = a.stage != Stage::kNothing, b_has = b.stage != Stage::kNothing;
  if (a_has != b_has) return a_has;
  return std::pair(a.counters.step, a.stage) > std::pair(b.counters.step, b.stage);
}

std::string PackPoint(const RunPoint& point) {
  Packer pack;
  pack(static_cast<int64_t>(point.stage));
  VisitPoint(pack, point);
  pack(static_cast<int64_t>(point.eval.values.size()));
  for (const auto& [name, value] : point.eval.values) {
    pack(name);
    pack(value);
  }
  pack(point.counters.step);
  const Counters counters = point.counters.ToManifest();
  pack(static_cast<int64_t>(counters.size()));
  for (const auto& [name, value] : counters) {
    pack(name);
    pack(static_cast<int64_t>(value.index()));
    std::visit(pack, value);
  }
  return pack.Take();
}

bool UnpackPoint(absl::string_view text, RunPoint* point) {
  Unpacker unpack(text);
  int64_t stage = 0, values = 0, count = 0;
  unpack(stage);
  VisitPoint(unpack, *point);
  unpack(values);
  if (!unpack.good() || stage < 0 || stage > static_cast<int64_t>(Stage::kLooked)) return false;
  point->stage = static_cast<Stage>(stage);
  point->eval.values.clear();
  for (int64_t i = 0; i < values && unpack.good(); ++i) {
    auto& [name, value] = point->eval.values.emplace_back();
    unpack(name);
    unpack(value);
  }
  Manifest manifest;
  unpack(manifest.step);
  unpack(count);
  for (int64_t i = 0; i < count && unpack.good(); ++i) {
    std::string name;
    int64_t kind = 0;
    unpack(name);
    unpack(kind);
    CounterValue& value = manifest.counters[name];
    if (kind == 0) {
      unpack(value.emplace<int64_t>());
    } else if (kind == 1) {
      unpack(value.emplace<double>());
    } else {
      unpack(value.emplace<std::string>());
    }
  }
  if (!unpack.AtEnd()) return false;
  point->counters = RunCounters::FromManifest(manifest);
  return true;
}

}  // namespace lockstep::train
