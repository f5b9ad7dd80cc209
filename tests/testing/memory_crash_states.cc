// Every disk that a power cut may leave behind.

#include <algorithm>
#include <functional>
#include <random>
#include <set>
#include <utility>

#include "runtime/core/hash.h"
#include "tests/testing/memory_file_system.h"
#include "tests/testing/memory_node.h"

namespace lockstep::testing {
namespace {

using Node = MemoryFileSystem::Node;

constexpr size_t kMostBlocks = 8;  // that a file is taken apart into: 2^9 ways at most, and torn ones

// One thing that is not durable, and how many ways there are in which it may survive.
struct Doubt {
  const Node* node = nullptr;
  int change = -1;                 // of a folder's names: 0 it is lost, 1 it survives
  std::vector<std::string> bytes;  // of a file: what may be found; the first lost all, the last none
  size_t ways() const { return change >= 0 ? 2 : bytes.size(); }
};

// What may be found of a file: the bytes as they were synced, or as they are now, or of any length that the
// file passed through with any subset of its blocks there and the others old (or zero where there is no old
// one); and torn blocks, of which half is there. A large file is taken in larger blocks.
std::vector<std::string> SurvivingBytes(const Node& file, size_t block_bytes) {
  const std::string &old = file.synced_bytes, &now = file.bytes;
  const size_t block = std::max(block_bytes, (now.size() + kMostBlocks - 1) / kMostBlocks);
  std::set<std::string> found;
  for (size_t length = 0;; length = std::min(length + block, now.size())) {
    const size_t blocks = (length + block - 1) / block;
    for (uint64_t survives = 0; survives < uint64_t{1} << blocks; ++survives) {
      std::string bytes = old.substr(0, std::min(old.size(), length));
      bytes.resize(length, '\0');
      for (size_t i = 0; i < blocks; ++i) {
        if ((survives >> i & 1) == 0) continue;
        const size_t size = std::min(block, length - i * block);
        bytes.replace(i * block, size, now, i * block, size);
      }
      found.insert(std::move(bytes));
    }
    if (length == now.size()) break;
    found.insert(now.substr(0, length + std::min(block, now.size() - length) / 2));
  }
  found.erase(old);
  found.erase(now);
  // Nothing is lost of what was synced and has not changed since.
  const size_t kept = file.shortest;
  std::vector<std::string> bytes = {old};
  for (const std::string& one : found) {
    if (one.size() >= kept && one.compare(0, kept, now, 0, kept) == 0) bytes.push_back(one);
  }
  bytes.push_back(now);
  return bytes;
}

// Every node that any surviving name may lead to, once.
void Collect(const std::shared_ptr<Node>& node, size_t block_bytes, std::set<const Node*>* seen,
             std::vector<Doubt>* doubts) {
  if (node == nullptr || !seen->insert(node.get()).second) return;
  if (!node->is_folder) {
    if (node->bytes != node->synced_bytes || node->shortest < node->synced_bytes.size()) {
      doubts->push_back({node.get(), -1, SurvivingBytes(*node, block_bytes)});
    }
    return;
  }
  for (size_t i = 0; i < node->unsynced.size(); ++i) doubts->push_back({node.get(), static_cast<int>(i), {}});
  for (const auto& [name, child] : node->synced_names) Collect(child, block_bytes, seen, doubts);
  for (const auto& [name, child] : node->names) Collect(child, block_bytes, seen, doubts);
  for (const auto& change : node->unsynced) Collect(change.node, block_bytes, seen, doubts);
}

// One way for each doubt.
using Choice = std::vector<size_t>;

std::shared_ptr<Node> Survive(const Node& node, const std::vector<Doubt>& doubts, const Choice& choice) {
  const auto copy = std::make_shared<Node>();
  copy->is_folder = node.is_folder;
  copy->bytes = node.bytes;
  std::map<std::string, std::shared_ptr<Node>> names = node.synced_names;
  for (size_t i = 0; i < doubts.size(); ++i) {
    if (doubts[i].node != &node) continue;
    if (doubts[i].change < 0) {
      copy->bytes = doubts[i].bytes[choice[i]];
    } else if (choice[i] == 1) {
      node.unsynced[static_cast<size_t>(doubts[i].change)].ApplyTo(&names);
    }
  }
  copy->synced_bytes = copy->bytes;
  copy->shortest = copy->bytes.size();
  for (const auto& [name, child] : names) copy->names[name] = Survive(*child, doubts, choice);
  copy->synced_names = copy->names;
  return copy;
}

void AddFingerprint(const Node& node, Sha256* hash) {
  hash->UpdateU64(node.is_folder ? node.names.size() : node.bytes.size());
  hash->Update(node.bytes);
  for (const auto& [name, child] : node.names) {
    hash->UpdateU64(name.size());
    hash->Update(name);
    AddFingerprint(*child, hash);
  }
}

// All choices where there are at most `limit`; else all lost, all kept, each thing lost alone or kept alone
// in each of its ways, and as many at random.
std::vector<Choice> Choices(const std::vector<Doubt>& doubts, size_t limit, bool* complete) {
  double total = 1;
  for (const Doubt& doubt : doubts) total *= static_cast<double>(doubt.ways());
  std::vector<Choice> choices;
  *complete = total <= static_cast<double>(limit);
  if (*complete) {
    Choice choice(doubts.size(), 0);
    while (true) {
      choices.push_back(choice);
      size_t i = 0;
      while (i < doubts.size() && ++choice[i] == doubts[i].ways()) choice[i++] = 0;
      if (i == doubts.size()) return choices;
    }
  }
  Choice lost(doubts.size(), 0), kept;
  for (const Doubt& doubt : doubts) kept.push_back(doubt.ways() - 1);
  for (const Choice& base : {lost, kept}) {
    choices.push_back(base);
    for (size_t i = 0; i < doubts.size(); ++i) {
      for (size_t way = 0; way < doubts[i].ways(); ++way) {
        Choice choice = base;
        choice[i] = way;
        choices.push_back(std::move(choice));
      }
    }
  }
  std::mt19937_64 random(1);
  for (size_t n = 0; n < limit; ++n) {
    Choice choice;
    for (const Doubt& doubt : doubts) choice.push_back(random() % doubt.ways());
    choices.push_back(std::move(choice));
  }
  return choices;
}

}  // namespace

bool MemoryFileSystem::ForEachCrashState(size_t block_bytes, size_t limit,
                                         const std::function<void(MemoryFileSystem&)>& visit) const {
  std::lock_guard lock(mutex_);
  std::set<const Node*> nodes;
  std::vector<Doubt> doubts;
  Collect(root_, block_bytes, &nodes, &doubts);
  bool complete = false;
  std::set<std::string> seen;
  for (const Choice& choice : Choices(doubts, limit, &complete)) {
    MemoryFileSystem disk;
    disk.root_ = Survive(*root_, doubts, choice);
    Sha256 hash;
    AddFingerprint(*disk.root_, &hash);
    if (seen.insert(hash.Hex()).second) visit(disk);
  }
  return complete;
}

std::string MemoryFileSystem::Fingerprint() const {
  std::lock_guard lock(mutex_);
  Sha256 hash;
  AddFingerprint(*root_, &hash);
  return hash.Hex();
}

}  // namespace lockstep::testing
