#include "tests/testing/memory_file_system.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <random>
#include <utility>

#include "absl/strings/str_split.h"
#include "tests/testing/memory_node.h"

namespace lockstep::testing {
namespace {

constexpr size_t kBlockBytes = 512;

std::vector<std::string> PartsOf(const std::string& path) {
  std::vector<std::string> parts;
  for (absl::string_view part : absl::StrSplit(path, '/', absl::SkipEmpty())) {
    if (part != ".") parts.emplace_back(part);
  }
  return parts;
}

absl::Status NoSuch(const std::string& path) {
  return absl::NotFoundError(absl::StrCat("no such file: ", path));
}

}  // namespace

class MemoryFileSystem::File final : public WritableFile {
 public:
  File(MemoryFileSystem* fs, NodePtr node) : fs_(fs), node_(std::move(node)) {}
  absl::Status Append(absl::string_view bytes) override {
    std::lock_guard lock(fs_->mutex_);
    node_->bytes.append(bytes.data(), bytes.size());
    return absl::OkStatus();
  }
  absl::Status Sync() override {
    std::lock_guard lock(fs_->mutex_);
    node_->synced_bytes = node_->bytes;
    node_->shortest = node_->bytes.size();
    return absl::OkStatus();
  }
  absl::Status Close() override { return absl::OkStatus(); }

 private:
  MemoryFileSystem* const fs_;
  const NodePtr node_;
};

class MemoryFileSystem::Contents final : public ReadableFile {
 public:
  Contents(std::string path, std::string bytes) : path_(std::move(path)), bytes_(std::move(bytes)) {}
  uint64_t size_bytes() const override { return bytes_.size(); }
  absl::string_view Mapped() const override { return bytes_; }
  absl::Status ReadAt(uint64_t offset, void* out, size_t size_bytes) const override {
    if (offset > bytes_.size() || size_bytes > bytes_.size() - offset) {
      return DataError(absl::StrCat(path_, " ends at byte ", bytes_.size()));
    }
    if (size_bytes > 0) std::memcpy(out, bytes_.data() + offset, size_bytes);
    return absl::OkStatus();
  }

 private:
  const std::string path_, bytes_;
};

class MemoryFileSystem::Held final : public FileLock {
 public:
  Held(MemoryFileSystem* fs, std::string path) : fs_(fs), path_(std::move(path)) {}
  ~Held() override {
    std::lock_guard lock(fs_->mutex_);
    fs_->locks_.erase(path_);
  }

 private:
  MemoryFileSystem* const fs_;
  const std::string path_;
};

MemoryFileSystem::MemoryFileSystem() : root_(std::make_shared<Node>()) { root_->is_folder = true; }
MemoryFileSystem::~MemoryFileSystem() = default;

MemoryFileSystem::NodePtr MemoryFileSystem::Find(const std::string& path) const {
  NodePtr node = root_;
  for (const std::string& part : PartsOf(path)) {
    const auto found = node->names.find(part);
    if (!node->is_folder || found == node->names.end()) return nullptr;
    node = found->second;
  }
  return node;
}

absl::StatusOr<MemoryFileSystem::NodePtr> MemoryFileSystem::FindFolder(const std::string& path) const {
  const NodePtr node = Find(path);
  if (node == nullptr) return NoSuch(path);
  if (!node->is_folder) return absl::UnavailableError(absl::StrCat("not a folder: ", path));
  return node;
}

absl::StatusOr<MemoryFileSystem::NodePtr> MemoryFileSystem::OpenForWriting(const std::string& path,
                                                                           bool exclusive) {
  ASSIGN_OR_RETURN(const NodePtr parent, FindFolder(ParentFolder(path)));
  if (const NodePtr node = Find(path)) {
    if (exclusive) return absl::AlreadyExistsError(absl::StrCat("exists: ", path));
    if (node->is_folder) return absl::UnavailableError(absl::StrCat("a folder: ", path));
    return node;
  }
  const auto node = std::make_shared<Node>();
  const Change change{PartsOf(path).back(), "", node};
  change.ApplyTo(&parent->names);
  parent->unsynced.push_back(change);
  return node;
}

absl::StatusOr<std::unique_ptr<WritableFile>> MemoryFileSystem::Create(const std::string& path) {
  std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(const NodePtr node, OpenForWriting(path, false));
  node->bytes.clear();
  node->shortest = 0;
  return std::make_unique<File>(this, node);
}

absl::StatusOr<std::unique_ptr<WritableFile>> MemoryFileSystem::OpenForAppend(const std::string& path) {
  std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(const NodePtr node, OpenForWriting(path, false));
  return std::make_unique<File>(this, node);
}

absl::StatusOr<std::unique_ptr<ReadableFile>> MemoryFileSystem::Open(const std::string& path) {
  std::lock_guard lock(mutex_);
  const NodePtr node = Find(path);
  if (node == nullptr) return NoSuch(path);
  if (node->is_folder) return absl::UnavailableError(absl::StrCat("a folder: ", path));
  return std::make_unique<Contents>(path, node->bytes);
}

absl::Status MemoryFileSystem::CreateExclusive(const std::string& path, absl::string_view contents) {
  std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(const NodePtr node, OpenForWriting(path, true));
  node->bytes = node->synced_bytes = std::string(contents);
  node->shortest = contents.size();
  return absl::OkStatus();
}

absl::StatusOr<std::vector<FileInfo>> MemoryFileSystem::List(const std::string& folder) {
  std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(const NodePtr node, FindFolder(folder));
  std::vector<FileInfo> files;
  for (const auto& [name, child] : node->names)
    files.push_back({name, child->is_folder, child->bytes.size()});
  return files;
}

bool MemoryFileSystem::Exists(const std::string& path) {
  std::lock_guard lock(mutex_);
  return Find(path) != nullptr;
}

absl::Status MemoryFileSystem::CreateFolders(const std::string& folder) {
  std::lock_guard lock(mutex_);
  NodePtr node = root_;
  for (const std::string& part : PartsOf(folder)) {
    if (node->names.count(part) == 0) {
      const auto child = std::make_shared<Node>();
      child->is_folder = true;
      const Change change{part, "", child};
      change.ApplyTo(&node->names);
      node->unsynced.push_back(change);
    }
    node = node->names[part];
    if (!node->is_folder) return absl::AlreadyExistsError(absl::StrCat("a file is in the way: ", folder));
  }
  return absl::OkStatus();
}

absl::Status MemoryFileSystem::Rename(const std::string& from, const std::string& to) {
  std::lock_guard lock(mutex_);
  const NodePtr node = Find(from), target = Find(to);
  if (node == nullptr) return NoSuch(from);
  ASSIGN_OR_RETURN(const NodePtr parent, FindFolder(ParentFolder(to)));
  if (parent != Find(ParentFolder(from))) return absl::UnimplementedError("renames stay in one folder here");
  if (target != nullptr && target->is_folder && !target->names.empty()) {
    return absl::AlreadyExistsError(absl::StrCat("folder not empty: ", to));
  }
  const Change change{PartsOf(to).back(), PartsOf(from).back(), node};
  change.ApplyTo(&parent->names);
  parent->unsynced.push_back(change);
  return absl::OkStatus();
}

absl::Status MemoryFileSystem::Truncate(const std::string& path, uint64_t size_bytes) {
  std::lock_guard lock(mutex_);
  const NodePtr node = Find(path);
  if (node == nullptr || node->is_folder) return NoSuch(path);
  node->bytes.resize(size_bytes);
  node->shortest = std::min<size_t>(node->shortest, size_bytes);
  return absl::OkStatus();
}

absl::Status MemoryFileSystem::Delete(const std::string& path) {
  std::lock_guard lock(mutex_);
  const NodePtr node = Find(path);
  if (node == nullptr) return NoSuch(path);
  if (!node->names.empty()) return absl::UnavailableError(absl::StrCat("folder not empty: ", path));
  ASSIGN_OR_RETURN(const NodePtr parent, FindFolder(ParentFolder(path)));
  const Change change{"", PartsOf(path).back(), nullptr};
  change.ApplyTo(&parent->names);
  parent->unsynced.push_back(change);
  return absl::OkStatus();
}

absl::Status MemoryFileSystem::SyncFolder(const std::string& folder) {
  std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(const NodePtr node, FindFolder(folder));
  node->synced_names = node->names;
  node->unsynced.clear();
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<FileLock>> MemoryFileSystem::Lock(const std::string& path) {
  std::lock_guard lock(mutex_);
  RETURN_IF_ERROR(OpenForWriting(path, false).status());
  if (!locks_.insert(path).second) return absl::AlreadyExistsError(absl::StrCat("locked: ", path));
  return std::make_unique<Held>(this, path);
}

std::unique_ptr<MemoryFileSystem> MemoryFileSystem::CutPower(uint64_t seed) const {
  std::lock_guard lock(mutex_);
  std::mt19937_64 random(seed);
  const auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };

  const auto surviving_bytes = [&](const Node& file) -> std::string {
    if (seed == 0 || file.bytes == file.synced_bytes) return file.synced_bytes;
    if (seed == 1) return file.bytes;
    // A length that the file had or passed through, and each block of either state; bytes that neither has
    // are zero.
    const size_t longest = std::max(file.synced_bytes.size(), file.bytes.size());
    const size_t between = file.shortest + below(longest - file.shortest + 1);
    const size_t lengths[] = {file.synced_bytes.size(), file.bytes.size(), between};
    std::string bytes(lengths[below(3)], '\0');
    for (size_t at = 0; at < bytes.size(); at += kBlockBytes) {
      const std::string* sources[] = {&file.synced_bytes, &file.bytes};
      const std::string& source = *sources[below(2)];
      const size_t end = std::min({at + kBlockBytes, bytes.size(), source.size()});
      if (at < end) std::memcpy(&bytes[at], &source[at], end - at);
    }
    return bytes;
  };
  const auto surviving_names = [&](const Node& folder) {
    std::map<std::string, NodePtr> names = folder.synced_names;
    const bool in_order = below(2) == 0;
    const size_t first_lost = below(folder.unsynced.size() + 1);
    for (size_t i = 0; i < folder.unsynced.size(); ++i) {
      const bool chosen = in_order ? i < first_lost : below(2) == 0;
      if (seed == 1 || (seed > 1 && chosen)) folder.unsynced[i].ApplyTo(&names);
    }
    return names;
  };
  const std::function<NodePtr(const Node&)> survive = [&](const Node& node) -> NodePtr {
    const auto copy = std::make_shared<Node>();
    copy->is_folder = node.is_folder;
    copy->bytes = copy->synced_bytes = surviving_bytes(node);
    copy->shortest = copy->bytes.size();
    for (const auto& [name, child] : surviving_names(node)) copy->names[name] = survive(*child);
    copy->synced_names = copy->names;
    return copy;
  };
  auto after = std::make_unique<MemoryFileSystem>();
  after->root_ = survive(*root_);
  return after;
}

}  // namespace lockstep::testing
