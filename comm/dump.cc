#include "comm/dump.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_split.h"
#include "nlohmann/json.hpp"
#include "runtime/core/file_system.h"

namespace lockstep::comm {
namespace {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;

constexpr int kVersion = 1;
constexpr size_t kMaxLineBytes = size_t{64} << 10;
constexpr size_t kMaxTextBytes = size_t{16} << 10;
constexpr const char* kStateNames[] = {"queued", "running", "done", "failed"};

std::string ToLine(const OrderedJson& json) {
  // An error may hold anything, such as the bytes of a peer.
  return json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
}

std::string SerializeCall(const CallRecord& record) {
  const CallDescriptor& d = record.descriptor;
  OrderedJson json;
  json["call"] = NameOf(static_cast<Collective>(d.kind));
  json["sequence"] = d.sequence;
  json["op"] = NameOf(static_cast<ReduceOp>(d.op));
  json["type"] = std::string(NameOf(static_cast<DType>(d.dtype)));
  json["count"] = d.count;
  json["root"] = d.root;
  json["lanes"] = d.lanes;
  json["wire"] = NameOf(static_cast<Wire>(d.wire));
  json["parts"] = d.parts;
  json["asked"] = NameOf(static_cast<Algorithm>(d.algorithm));
  json["to"] = record.to;
  json["from"] = record.from;
  json["ran"] = NameOf(record.ran);
  json["state"] = kStateNames[static_cast<size_t>(record.state)];
  json["background"] = record.background;
  json["issued_ns"] = record.issued;
  json["started_ns"] = record.started;
  json["ended_ns"] = record.ended;
  return ToLine(json);
}

// The fields of one object. After the first that is missing or wrong, `error` says so and the rest is
// nothing.
class Fields {
 public:
  explicit Fields(const Json& json) : json_(json) {}
  const std::string& error() const { return error_; }

  template <typename T>
  T Integer(const char* name, int64_t least, uint64_t most) {
    const Json* value = Find(name);
    if (value == nullptr) return T{};
    if (value->is_number_unsigned() && value->get<uint64_t>() <= most &&
        (least <= 0 || value->get<uint64_t>() >= static_cast<uint64_t>(least))) {
      return static_cast<T>(value->get<uint64_t>());
    }
    if (value->is_number_integer() && !value->is_number_unsigned() && value->get<int64_t>() >= least) {
      return static_cast<T>(value->get<int64_t>());
    }
    return Fail<T>(name, "is out of range");
  }
  bool Bool(const char* name) {
    const Json* value = Find(name);
    if (value == nullptr || value->is_boolean()) return value != nullptr && value->get<bool>();
    return Fail<bool>(name, "is neither true nor false");
  }
  std::string Text(const char* name) {
    const Json* value = Find(name);
    if (value == nullptr) return "";
    if (value->is_string() && value->get_ref<const std::string&>().size() <= kMaxTextBytes) {
      return value->get<std::string>();
    }
    return Fail<std::string>(name, "is no text, or a very long one");
  }
  // The index of a text among names_of(0), names_of(1), ..., which end with "?".
  template <typename NamesOf>
  uint8_t Name(const char* name, const NamesOf& names_of) {
    const std::string text = Text(name);
    if (!error_.empty()) return 0;
    for (uint8_t i = 0; names_of(i) != "?"; ++i) {
      if (names_of(i) == text) return i;
    }
    return Fail<uint8_t>(name, "is a name that is not known here");
  }

 private:
  const Json* Find(const char* name) {
    if (!error_.empty()) return nullptr;
    const auto found = json_.find(name);
    if (found != json_.end()) return &*found;
    error_ = absl::StrCat("'", name, "' is missing");
    return nullptr;
  }
  template <typename T>
  T Fail(const char* name, const char* why) {
    error_ = absl::StrCat("'", name, "' ", why);
    return T{};
  }

  const Json& json_;
  std::string error_;
};

template <typename Enum>
absl::string_view NameAt(uint8_t index) {
  return NameOf(static_cast<Enum>(index));
}
absl::string_view TypeAt(uint8_t index) {
  return index <= static_cast<uint8_t>(DType::kF64) ? NameOf(static_cast<DType>(index)) : "?";
}
absl::string_view StateAt(uint8_t index) { return index < std::size(kStateNames) ? kStateNames[index] : "?"; }

void ReadHead(Fields& fields, Dump& dump) {
  fields.Integer<int>("lockstep_comm_dump", kVersion, kVersion);
  dump.size = fields.Integer<int>("size", 1, 1 << 20);
  dump.rank = fields.Integer<int>("rank", 0, static_cast<uint64_t>(std::max(dump.size, 1)) - 1);
  dump.generation = fields.Integer<uint64_t>("generation", 0, UINT64_MAX);
  dump.backend = fields.Text("backend");
  dump.world = fields.Text("world");
  dump.failure = fields.Text("failure");
  dump.failed = fields.Integer<int64_t>("failed_ns", 0, INT64_MAX);
  dump.calls = fields.Integer<uint64_t>("calls", 0, UINT64_MAX);
  dump.collectives = fields.Integer<uint64_t>("collectives", 0, UINT64_MAX);
}

void ReadCall(Fields& fields, int size, CallRecord& record) {
  CallDescriptor& d = record.descriptor;
  const auto last = static_cast<uint64_t>(size) - 1;
  d.kind = fields.Name("call", NameAt<Collective>);
  d.sequence = fields.Integer<uint64_t>("sequence", 0, UINT64_MAX);
  d.op = fields.Name("op", NameAt<ReduceOp>);
  d.dtype = fields.Name("type", TypeAt);
  d.count = fields.Integer<uint64_t>("count", 0, UINT64_MAX);
  d.root = fields.Integer<int32_t>("root", INT32_MIN, INT32_MAX);
  d.lanes = fields.Integer<uint32_t>("lanes", 0, UINT32_MAX);
  d.wire = fields.Name("wire", NameAt<Wire>);
  d.parts = fields.Integer<uint64_t>("parts", 0, UINT64_MAX);
  d.algorithm = fields.Name("asked", NameAt<Algorithm>);
  record.to = fields.Integer<int>("to", -1, last);
  record.from = fields.Integer<int>("from", -1, last);
  record.ran = static_cast<Algorithm>(fields.Name("ran", NameAt<Algorithm>));
  record.state = static_cast<CallState>(fields.Name("state", StateAt));
  record.background = fields.Bool("background");
  record.issued = fields.Integer<int64_t>("issued_ns", 0, INT64_MAX);
  record.started = fields.Integer<int64_t>("started_ns", 0, INT64_MAX);
  record.ended = fields.Integer<int64_t>("ended_ns", 0, INT64_MAX);
}

}  // namespace

std::string DumpName(int rank, uint64_t generation, const std::string& group) {
  return absl::StrCat("comm-dump-", generation > 0 ? absl::StrCat("generation-", generation, "-") : "",
                      "rank-", rank, group.empty() ? "" : "-", group, ".jsonl");
}

std::string SerializeDump(const Dump& dump) {
  OrderedJson head;
  head["lockstep_comm_dump"] = kVersion;
  head["rank"] = dump.rank;
  head["size"] = dump.size;
  head["generation"] = dump.generation;
  head["backend"] = dump.backend;
  head["world"] = dump.world;
  head["failure"] = dump.failure.substr(0, kMaxTextBytes / 4);  // replacing bad UTF-8 makes it longer
  head["failed_ns"] = dump.failed;
  head["calls"] = dump.calls;
  head["collectives"] = dump.collectives;
  std::string text = ToLine(head);
  for (const CallRecord& record : dump.records) text += SerializeCall(record);
  return text;
}

absl::StatusOr<Dump> ParseDump(absl::string_view text, const std::string& name) {
  if (text.size() > kMaxDumpBytes) return DataError(absl::StrCat(name, ": too large for a dump"));
  Dump dump;
  size_t number = 0;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    if (line.empty() && number > 1) continue;
    const std::string where = absl::StrCat(name, ", line ", number, ": ");
    if (line.size() > kMaxLineBytes) return DataError(absl::StrCat(where, "too long for a line of a dump"));
    const Json json = Json::parse(line.begin(), line.end(), nullptr, false);
    if (!json.is_object()) {
      return DataError(absl::StrCat(where, "no JSON object, as every line of a dump is"));
    }
    Fields fields(json);
    if (number == 1) {
      ReadHead(fields, dump);
    } else if (dump.records.size() == Recorder::kCalls) {
      return DataError(absl::StrCat(where, "more than ", Recorder::kCalls, " calls"));
    } else {
      ReadCall(fields, dump.size, dump.records.emplace_back());
    }
    if (!fields.error().empty()) return DataError(absl::StrCat(where, fields.error()));
  }
  if (dump.calls < dump.records.size()) {
    return DataError(absl::StrCat(name, ": more calls listed than 'calls' says"));
  }
  return dump;
}

absl::Status WriteDump(const Dump& dump, const std::string& path) {
  ASSIGN_OR_RETURN(const auto file, RealFileSystem()->Create(path));
  RETURN_IF_ERROR(file->Append(SerializeDump(dump)));
  return file->Close();
}

absl::StatusOr<Dump> ReadDump(const std::string& path) {
  const auto file = RealFileSystem()->Open(path);
  if (!file.ok()) return ConfigError(file.status().message());
  const uint64_t size_bytes = (*file)->size_bytes();
  if (size_bytes > kMaxDumpBytes) return DataError(absl::StrCat(path, ": too large for a dump"));
  std::string text(size_bytes, '\0');
  RETURN_IF_ERROR((*file)->ReadAt(0, text.data(), text.size()));
  return ParseDump(text, path);
}

}  // namespace lockstep::comm
