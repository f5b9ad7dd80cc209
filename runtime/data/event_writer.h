// Scalars for TensorBoard: an event file is a record file of Event (proto/event.proto).
#ifndef LOCKSTEP_RUNTIME_DATA_EVENT_WRITER_H_
#define LOCKSTEP_RUNTIME_DATA_EVENT_WRITER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "runtime/core/file_system.h"
#include "runtime/core/status.h"

namespace lockstep::data {

// Not thread-safe. Each event is one write, so that a reader that follows the file, or finds it after a
// crash, sees whole records and at worst a cut last one, which TensorBoard takes for "not yet written".
class EventWriter {
 public:
  // A new file events.out.tfevents.<seconds>.<host>.<pid>.<n> in `folder`, which is made when missing. It
  // begins with the format's version; with `first_step` > 0 (a resumed run) also with a mark that makes
  // TensorBoard drop what older files hold of that step and later ones.
  static absl::StatusOr<std::unique_ptr<EventWriter>> Create(FileSystem* fs, const std::string& folder,
                                                             int64_t first_step);

  // Values of one step, at the present time. A tag's part before '/' groups it on the page: "train/loss".
  absl::Status AddScalars(int64_t step, absl::Span<const std::pair<std::string, double>> values);
  absl::Status Sync() { return file_->Sync(); }

  const std::string& path() const { return path_; }

 private:
  EventWriter(std::string path, std::unique_ptr<WritableFile> file)
      : path_(std::move(path)), file_(std::move(file)) {}
  const std::string path_;
  const std::unique_ptr<WritableFile> file_;
};

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_EVENT_WRITER_H_
