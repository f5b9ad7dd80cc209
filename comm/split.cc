#include "comm/split.h"

#include <algorithm>
#include <cstring>
#include <tuple>
#include <utility>

#include "comm/text_list.h"

namespace lockstep::comm {
namespace {

absl::Status SendText(Communicator& parent, int to, absl::string_view text, const CallOptions& o) {
  uint64_t size = text.size();
  RETURN_IF_ERROR(parent.Send(ConstBuffer(&size, 1, DType::kU64), to, o));
  return parent.Send(ConstBuffer(text.data(), text.size(), DType::kU8), to, o);
}

absl::StatusOr<std::string> RecvText(Communicator& parent, int from, const CallOptions& o) {
  constexpr uint64_t kLargest = uint64_t{64} << 20;  // what ranks tell each other at the start is far less
  uint64_t size = 0;
  RETURN_IF_ERROR(parent.Recv(Buffer{&size, 1, DType::kU64}, from, o));
  if (size > kLargest) return PeerError(absl::StrCat("rank ", from, " announces a text of ", size, " bytes"));
  std::string text(size, '\0');
  RETURN_IF_ERROR(parent.Recv(Buffer{text.data(), text.size(), DType::kU8}, from, o));
  return text;
}

class GroupMeeting : public Meeting {
 public:
  GroupMeeting(Communicator& parent, std::vector<int> members, int rank)
      : parent_(parent), members_(std::move(members)), rank_(rank) {}

  int rank() const override { return rank_; }
  int size() const override { return static_cast<int>(members_.size()); }
  const std::string& secret() const override { return secret_; }

  absl::Status ShareSecret(Deadline deadline) {
    ASSIGN_OR_RETURN(const auto all, Exchange("secret", rank_ == 0 ? RandomSecret() : "", deadline));
    secret_ = all[0];
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<std::string>> Exchange(const std::string& name, absl::string_view value,
                                                    Deadline deadline) override {
    CallOptions o;
    o.deadline = std::max(deadline.Left(), absl::Milliseconds(1));
    if (rank_ != 0) {
      RETURN_IF_ERROR(Annotate(SendText(parent_, members_[0], value, o), name));
      ASSIGN_OR_RETURN(const std::string packed, RecvText(parent_, members_[0], o));
      std::vector<std::string> values;
      if (!UnpackTexts(packed, values) || values.size() != members_.size()) {
        return PeerError(absl::StrCat("rank ", members_[0], " sent a malformed list of ", name));
      }
      return values;
    }
    std::vector<std::string> values = {std::string(value)};
    for (int member = 1; member < size(); ++member) {
      ASSIGN_OR_RETURN(std::string text, RecvText(parent_, members_[member], o));
      values.push_back(std::move(text));
    }
    const std::string packed = PackTexts(values);
    for (int member = 1; member < size(); ++member) {
      RETURN_IF_ERROR(SendText(parent_, members_[member], packed, o));
    }
    return values;
  }
  absl::Status Health() const override { return parent_.status(); }

 private:
  Communicator& parent_;
  const std::vector<int> members_;
  const int rank_;
  std::string secret_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Meeting>> MakeGroupMeeting(Communicator& parent, std::vector<int> members,
                                                          Deadline deadline) {
  const auto self = std::find(members.begin(), members.end(), parent.rank());
  if (self == members.end()) return absl::InvalidArgumentError("a group of ranks without the own one");
  const int rank = static_cast<int>(self - members.begin());
  auto meeting = std::make_unique<GroupMeeting>(parent, std::move(members), rank);
  RETURN_IF_ERROR(meeting->ShareSecret(deadline));
  return std::unique_ptr<Meeting>(std::move(meeting));
}

absl::StatusOr<std::unique_ptr<Communicator>> SplitCommunicator(Communicator& parent, int color, int key,
                                                                const CallOptions& options,
                                                                const Remake& remake) {
  if (!remake) return absl::UnimplementedError("this communicator cannot be split");
  const int32_t mine[2] = {color, key};
  std::vector<int32_t> all(2 * parent.size());
  RETURN_IF_ERROR(
      parent.AllGather(ConstBuffer(mine, 2, DType::kI32), BufferOf(absl::MakeSpan(all)), options));
  if (color < 0) return nullptr;
  std::vector<std::tuple<int, int>> order;  // key, rank
  for (int rank = 0; rank < parent.size(); ++rank) {
    if (all[2 * rank] == color) order.emplace_back(all[2 * rank + 1], rank);
  }
  std::sort(order.begin(), order.end());
  std::vector<int> members;
  for (const auto& [unused, rank] : order) members.push_back(rank);
  const Deadline deadline =
      Deadline::After(options.deadline > absl::ZeroDuration() ? options.deadline : absl::Seconds(60));
  ASSIGN_OR_RETURN(const auto meeting, MakeGroupMeeting(parent, std::move(members), deadline));
  return remake(*meeting);
}

}  // namespace lockstep::comm
