#include "runtime/data/event_writer.h"

#include <unistd.h>

#include <atomic>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "proto/event.pb.h"
#include "runtime/data/record_writer.h"

namespace lockstep::data {
namespace {

// Tells files apart that one process makes within a second.
int NextFileNumber() {
  static std::atomic<int> number = 0;
  return number++;
}

std::string FileName() {
  char host[256] = "localhost";
  gethostname(host, sizeof host - 1);
  return absl::StrFormat("events.out.tfevents.%010d.%s.%d.%d", absl::ToUnixSeconds(absl::Now()), host,
                         getpid(), NextFileNumber());
}

events::Event NewEvent(int64_t step) {
  events::Event event;
  event.set_wall_time(static_cast<double>(absl::ToUnixMicros(absl::Now())) * 1e-6);
  event.set_step(step);
  return event;
}

absl::Status Append(const events::Event& event, WritableFile* file) {
  return file->Append(FrameRecord(event.SerializeAsString()));
}

}  // namespace

absl::StatusOr<std::unique_ptr<EventWriter>> EventWriter::Create(FileSystem* fs, const std::string& folder,
                                                                 int64_t first_step) {
  RETURN_IF_ERROR(fs->CreateFolders(folder));
  const std::string path = JoinPath(folder, FileName());
  ASSIGN_OR_RETURN(auto file, fs->Create(path));
  events::Event version = NewEvent(0);
  version.set_file_version("brain.Event:2");
  RETURN_IF_ERROR(Append(version, file.get()));
  if (first_step > 0) {
    events::Event start = NewEvent(first_step);
    start.mutable_session_log()->set_status(events::SessionLog::START);
    RETURN_IF_ERROR(Append(start, file.get()));
  }
  return std::unique_ptr<EventWriter>(new EventWriter(path, std::move(file)));
}

absl::Status EventWriter::AddScalars(int64_t step, absl::Span<const std::pair<std::string, double>> values) {
  events::Event event = NewEvent(step);
  for (const auto& [tag, value] : values) {
    events::Summary::Value* out = event.mutable_summary()->add_value();
    out->set_tag(tag);
    out->set_simple_value(static_cast<float>(value));
  }
  return Append(event, file_.get());
}

}  // namespace lockstep::data
