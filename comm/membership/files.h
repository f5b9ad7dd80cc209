// The files by which members agree, in RUN/membership. Internal to comm/.
//
//   current                      the name of the newest start of this run
//   <start>/gen-<g>/record       who is in generation g; made by link(2), so exactly once, and never changed
//   <start>/gen-<g>/present-<n>  member n of generation g-1 has come to form generation g: the first is the
//                                call for it
//   <start>/gen-<g>/alive-<n>    member n of generation g-1 lives, whatever its main thread does; changes four
//                                times a second
//   <start>/gen-<g>/meeting      where its ranks meet, with their secret
//   <start>/joins/ask-<id>       a process asks to be let in; changes while it lives
//   <start>/joins/seen-<id>      a member has seen that; changes while members live
//   <start>/joins/refused-<id>   ... and says why not
//   <start>/left-<n>             member n has gone, in order
//
// Each is one JSON object, written beside its name and renamed (the record: linked), so nobody reads half of
// one. Records stay for as long as the start does: they are how a rank that slept through later generations
// finds out. Folders are 0700 and files 0600. What cannot be parsed or is too large is no such file.
#ifndef LOCKSTEP_COMM_MEMBERSHIP_FILES_H_
#define LOCKSTEP_COMM_MEMBERSHIP_FILES_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "comm/membership.h"
#include "runtime/core/status.h"

namespace lockstep::comm {

// Of a generation.
struct MembershipRecord {
  uint64_t generation = 0;
  std::vector<Member> members;        // by rank
  std::vector<std::string> requests;  // of each member that is new: the id under which it asked; else ""
  std::vector<int> leaving;           // numbers of those that went as they wanted, or as was planned
  std::map<int, std::string> out;     // numbers of those that were voted out, and why
  int next_number = 0;                // of the next newcomer
  std::string reason;                 // why there had to be a new one

  int RankOf(int number) const;            // -1: not a member
  int RankOf(absl::string_view id) const;  // of a newcomer
};

struct Presence {
  std::vector<int> suspects;  // numbers
  bool leaving = false;
  int rank = 0;  // in the generation before
  std::string reason;
};

struct JoinRequest {
  std::string id;
  Member member;  // without its number
  Credentials credentials;
  uint64_t beat = 0;
};

std::string ToText(const MembershipRecord& record);
std::string ToText(const Presence& presence);
std::string ToText(const JoinRequest& request);
// Errors: DataLoss (PeerError in kind) saying what is wrong with it.
absl::StatusOr<MembershipRecord> RecordFromText(absl::string_view text);
absl::StatusOr<Presence> PresenceFromText(absl::string_view text);
absl::StatusOr<JoinRequest> RequestFromText(absl::string_view text);

// One start of a run. A value; thread-safe, like the paths it is made of.
class MemberFolder {
 public:
  MemberFolder() = default;
  MemberFolder(std::string folder, std::string start)
      : folder_(std::move(folder)), start_(std::move(start)) {}

  const std::string& start() const { return start_; }
  std::string Root() const;
  std::string Current() const;
  std::string Generation(uint64_t generation) const;
  std::string Record(uint64_t generation) const;
  std::string Present(uint64_t generation, int number) const;
  std::string Alive(uint64_t generation, int number) const;
  std::string MeetingFile(uint64_t generation) const;
  std::string Joins() const;
  std::string Ask(const std::string& id) const;
  std::string Seen(const std::string& id) const;
  std::string Refused(const std::string& id) const;
  std::string Left(int number) const;

  // The first `present-` file of a generation, as its member's number; -1 when nobody has called for it.
  int FirstCaller(uint64_t generation) const;
  // Error: NotFound; or PeerError that names the file.
  absl::StatusOr<MembershipRecord> ReadRecord(uint64_t generation) const;
  bool HasRecord(uint64_t generation) const;

 private:
  std::string folder_, start_;
};

// Makes the folder, and those above it, 0700 where they are new. Error: ConfigError naming it.
absl::Status MakeFolder(const std::string& path);
// At most 1 MiB of a plain file. Errors: NotFound; PeerError.
absl::StatusOr<std::string> ReadSmallFile(const std::string& path);
// Replaces. Error: PeerError naming the path.
absl::Status WriteSmallFile(const std::string& path, absl::string_view contents);
// Once and for all. Errors: AlreadyExists; PeerError naming the path.
absl::Status ClaimFile(const std::string& path, absl::string_view contents);
// Names of what is in a folder, sorted; at most some thousands. Empty when there is no such folder.
std::vector<std::string> NamesIn(const std::string& folder);

// 32 hexadecimal digits of the kernel's randomness.
std::string RandomName();
bool IsRandomName(absl::string_view name);

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_MEMBERSHIP_FILES_H_
