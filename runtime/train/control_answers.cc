// What a run answers to a request, whoever brings it.
#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "runtime/core/names.h"
#include "runtime/train/control_server.h"

namespace lockstep::train {
namespace {

const std::vector<std::string>& Requests() {
  static const auto* const kRequests =
      new std::vector<std::string>{"status", "checkpoint", "pause", "resume", "stop", "shrink", "grow"};
  return *kRequests;
}

std::string RanksText(int ranks) { return absl::StrCat(ranks, ranks == 1 ? " rank" : " ranks"); }

std::string StatusText(const ControlLimits& limits, const ControlDesk::Status& status) {
  std::string text;
  if (status.last.step == 0) {
    text = absl::StrCat("no step yet of ", limits.steps);
  } else {
    text = absl::StrFormat("step %d of %d, loss %.4f, %.0f samples/s", status.last.step, limits.steps,
                           status.last.loss, status.last.samples_per_second);
  }
  return absl::StrCat(text, status.paused ? ", paused" : "", "\n", status.members, "\n");
}

absl::Status CheckChange(const ControlLimits& limits) {
  if (limits.membership) return absl::OkStatus();
  return ConfigError(
      "the ranks of this run cannot change while it runs: start it with `lockstep launch --elastic` or "
      "`mpirun --enable-recovery`, or with execution.recovery: ON");
}

absl::Status CheckShrink(int ranks, const ControlLimits& limits, int now) {
  if (ranks < 1) return ConfigError("shrink 0: a run needs a rank; `stop` ends it after a checkpoint");
  if (ranks >= now) {
    return ConfigError(
        absl::StrCat("shrink ", ranks, ": there are ", RanksText(now), "; say a smaller number"));
  }
  return CheckChange(limits);
}

absl::Status CheckGrow(int ranks, const ControlLimits& limits, int now) {
  if (ranks > limits.lanes) {
    return ConfigError(absl::StrCat("grow ", ranks, ": this run has ", limits.lanes,
                                    " lanes, and a rank needs one; that many ranks at most"));
  }
  if (ranks <= now) {
    return ConfigError(absl::StrCat("grow ", ranks, ": there are ", RanksText(now), " already"));
  }
  RETURN_IF_ERROR(CheckChange(limits));
  if (limits.grow) return absl::OkStatus();
  return ConfigError(absl::StrCat(
      "grow ", ranks, ": nobody is there who starts ranks (`lockstep launch --elastic` would). Start ",
      RanksText(ranks - now),
      " yourself, on a machine that reaches the run folder, with the command of the run: "
      "LOCKSTEP_JOIN=1 lockstep train ... They are let in at a step boundary"));
}

absl::StatusOr<std::string> Carry(const Wishes& wishes, ControlDesk& desk, absl::Duration patience,
                                  absl::string_view what) {
  const uint64_t number = desk.Ask(wishes);
  if (desk.AwaitHeard(number, patience)) return absl::StrCat(what, "\n");
  return ConfigError(absl::StrCat("no step boundary within ", absl::FormatDuration(patience),
                                  "; it stays asked, and takes effect at the next"));
}

}  // namespace

absl::StatusOr<std::string> AnswerRequest(absl::string_view request, const ControlLimits& limits,
                                          ControlDesk& desk, absl::Duration patience) {
  const std::vector<std::string> words = absl::StrSplit(request, ' ', absl::SkipEmpty());
  const std::string word = words.empty() ? "" : words[0];
  if (std::find(Requests().begin(), Requests().end(), word) == Requests().end()) {
    return ConfigError(absl::StrCat("unknown request '", word, "'", Suggestion(word, Requests())));
  }
  const bool counts = word == "shrink" || word == "grow";
  int ranks = 0;
  if (words.size() != (counts ? 2 : 1) || (counts && (!absl::SimpleAtoi(words[1], &ranks) || ranks < 0))) {
    return ConfigError(absl::StrCat(word, counts ? " takes one number: of all ranks" : " takes nothing"));
  }
  const ControlDesk::Status status = desk.status();
  if (word == "status") return StatusText(limits, status);
  if (word == "checkpoint") {
    return Carry({.checkpoint = true}, desk, patience,
                 "a checkpoint of the step that was just done is written");
  }
  if (word == "pause") return Carry({.pause = PauseWish::kPause}, desk, patience, "paused");
  if (word == "resume") return Carry({.pause = PauseWish::kResume}, desk, patience, "going on");
  if (word == "stop") return Carry({.stop = true}, desk, patience, "writing a checkpoint, and leaving");
  if (word == "shrink") {
    RETURN_IF_ERROR(CheckShrink(ranks, limits, status.size));
    return Carry({.size = ranks}, desk, patience, absl::StrCat("going on with ", RanksText(ranks)));
  }
  RETURN_IF_ERROR(CheckGrow(ranks, limits, status.size));
  RETURN_IF_ERROR(limits.grow(ranks));
  return absl::StrCat("starting ", RanksText(ranks - status.size),
                      "; they are let in at a step boundary once they are ready\n");
}

}  // namespace lockstep::train
