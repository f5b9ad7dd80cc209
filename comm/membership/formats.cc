// The contents of a membership's files, to and from JSON.
#include <utility>

#include "comm/membership/files.h"
#include "nlohmann/json.hpp"

namespace lockstep::comm {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kVersion = 1;
constexpr size_t kMaxMembers = 1 << 16;
constexpr size_t kMaxReasonBytes = 4096;

std::string Dump(const Json& json) {
  // A reason may hold anything, such as the bytes of a peer.
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

absl::Status Malformed(absl::string_view what) {
  return PeerError(absl::StrCat("'", what, "' is missing or is not what it should be"));
}

absl::StatusOr<Json> Parse(absl::string_view text) {
  Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded() || !json.is_object()) return PeerError("it is not a JSON object");
  const auto version = json.find("version");
  if (version == json.end() || *version != kVersion) return Malformed("version");
  return json;
}

template <typename Integer>
absl::Status Take(const Json& json, const char* name, Integer& out) {
  const auto at = json.find(name);
  if (at == json.end() || !at->is_number_integer()) return Malformed(name);
  // Negative numbers and those beyond the type come out different.
  const auto wide = at->is_number_unsigned() ? static_cast<int64_t>(at->template get<uint64_t>() & INT64_MAX)
                                             : at->template get<int64_t>();
  out = static_cast<Integer>(wide);
  if (wide < 0 || static_cast<int64_t>(out) != wide) return Malformed(name);
  return absl::OkStatus();
}

absl::Status Take(const Json& json, const char* name, std::string& out) {
  const auto at = json.find(name);
  if (at == json.end() || !at->is_string()) return Malformed(name);
  out = at->get<std::string>();
  return absl::OkStatus();
}

absl::Status Take(const Json& json, const char* name, bool& out) {
  const auto at = json.find(name);
  if (at == json.end() || !at->is_boolean()) return Malformed(name);
  out = at->get<bool>();
  return absl::OkStatus();
}

absl::StatusOr<const Json*> List(const Json& json, const char* name) {
  const auto at = json.find(name);
  if (at == json.end() || !at->is_array() || at->size() > kMaxMembers) return Malformed(name);
  for (const Json& one : *at) {
    if (!one.is_object() && !one.is_number_integer()) return Malformed(name);
  }
  return &*at;
}

absl::Status Take(const Json& json, const char* name, std::vector<int>& out) {
  ASSIGN_OR_RETURN(const Json* list, List(json, name));
  for (const Json& one : *list) {
    const Json wrapped{{name, one}};
    out.emplace_back();
    RETURN_IF_ERROR(Take(wrapped, name, out.back()));
  }
  return absl::OkStatus();
}

Json ToJson(const Member& member) {
  Json json;
  json["number"] = member.number;
  json["machine"] = member.machine;
  json["pid"] = member.pid;
  json["pid_began"] = member.pid_began;
  return json;
}

absl::Status Take(const Json& json, Member& member) {
  if (!json.is_object()) return Malformed("members");
  RETURN_IF_ERROR(Take(json, "number", member.number));
  RETURN_IF_ERROR(Take(json, "machine", member.machine));
  RETURN_IF_ERROR(Take(json, "pid", member.pid));
  return Take(json, "pid_began", member.pid_began);
}

Json NewJson() { return Json{{"version", kVersion}}; }

}  // namespace

int MembershipRecord::RankOf(int number) const {
  for (size_t rank = 0; rank < members.size(); ++rank) {
    if (members[rank].number == number) return static_cast<int>(rank);
  }
  return -1;
}

int MembershipRecord::RankOf(absl::string_view id) const {
  for (size_t rank = 0; rank < requests.size(); ++rank) {
    if (!id.empty() && requests[rank] == id) return static_cast<int>(rank);
  }
  return -1;
}

std::string ToText(const MembershipRecord& record) {
  Json json = NewJson();
  json["generation"] = record.generation;
  json["reason"] = record.reason.substr(0, kMaxReasonBytes);
  json["members"] = Json::array();
  for (size_t rank = 0; rank < record.members.size(); ++rank) {
    Json member = ToJson(record.members[rank]);
    member["asked_as"] = rank < record.requests.size() ? record.requests[rank] : "";
    json["members"].push_back(std::move(member));
  }
  json["leaving"] = record.leaving;
  json["out"] = Json::array();
  for (const auto& [number, why] : record.out) json["out"].push_back(Json{{"number", number}, {"why", why}});
  json["next_number"] = record.next_number;
  return Dump(json);
}

absl::StatusOr<MembershipRecord> RecordFromText(absl::string_view text) {
  ASSIGN_OR_RETURN(const Json json, Parse(text));
  MembershipRecord record;
  RETURN_IF_ERROR(Take(json, "generation", record.generation));
  RETURN_IF_ERROR(Take(json, "reason", record.reason));
  ASSIGN_OR_RETURN(const Json* members, List(json, "members"));
  for (const Json& one : *members) {
    record.members.emplace_back();
    record.requests.emplace_back();
    RETURN_IF_ERROR(Take(one, record.members.back()));
    RETURN_IF_ERROR(Take(one, "asked_as", record.requests.back()));
  }
  if (record.members.empty()) return Malformed("members");
  RETURN_IF_ERROR(Take(json, "leaving", record.leaving));
  ASSIGN_OR_RETURN(const Json* out, List(json, "out"));
  for (const Json& one : *out) {
    int number = 0;
    std::string why;
    if (!one.is_object()) return Malformed("out");
    RETURN_IF_ERROR(Take(one, "number", number));
    RETURN_IF_ERROR(Take(one, "why", why));
    record.out[number] = std::move(why);
  }
  RETURN_IF_ERROR(Take(json, "next_number", record.next_number));
  return record;
}

std::string ToText(const Presence& presence) {
  Json json = NewJson();
  json["rank"] = presence.rank;
  json["suspects"] = presence.suspects;
  json["leaving"] = presence.leaving;
  json["reason"] = presence.reason.substr(0, kMaxReasonBytes);
  return Dump(json);
}

absl::StatusOr<Presence> PresenceFromText(absl::string_view text) {
  ASSIGN_OR_RETURN(const Json json, Parse(text));
  Presence presence;
  RETURN_IF_ERROR(Take(json, "rank", presence.rank));
  RETURN_IF_ERROR(Take(json, "suspects", presence.suspects));
  RETURN_IF_ERROR(Take(json, "leaving", presence.leaving));
  RETURN_IF_ERROR(Take(json, "reason", presence.reason));
  return presence;
}

std::string ToText(const JoinRequest& request) {
  Json json = NewJson();
  json["id"] = request.id;
  json["member"] = ToJson(request.member);
  json["credentials"] = Json::array();
  for (const AgreementField& field : request.credentials) {
    json["credentials"].push_back(Json{{"field", field.field}, {"value", field.value}});
  }
  json["beat"] = request.beat;
  return Dump(json);
}

absl::StatusOr<JoinRequest> RequestFromText(absl::string_view text) {
  ASSIGN_OR_RETURN(const Json json, Parse(text));
  JoinRequest request;
  RETURN_IF_ERROR(Take(json, "id", request.id));
  const auto member = json.find("member");
  if (member == json.end()) return Malformed("member");
  RETURN_IF_ERROR(Take(*member, request.member));
  ASSIGN_OR_RETURN(const Json* credentials, List(json, "credentials"));
  for (const Json& one : *credentials) {
    request.credentials.emplace_back();
    if (!one.is_object()) return Malformed("credentials");
    RETURN_IF_ERROR(Take(one, "field", request.credentials.back().field));
    RETURN_IF_ERROR(Take(one, "value", request.credentials.back().value));
  }
  RETURN_IF_ERROR(Take(json, "beat", request.beat));
  return request;
}

}  // namespace lockstep::comm
