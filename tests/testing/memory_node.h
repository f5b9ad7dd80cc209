// Inside MemoryFileSystem: files, folders, and what is durable of them.
#ifndef LOCKSTEP_TESTS_TESTING_MEMORY_NODE_H_
#define LOCKSTEP_TESTS_TESTING_MEMORY_NODE_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/testing/memory_file_system.h"

namespace lockstep::testing {

// One change of a folder's names: `set` appears (or is replaced) as `node`, `removed` vanishes. Either may be
// empty.
struct MemoryFileSystem::Change {
  std::string set, removed;
  NodePtr node;

  void ApplyTo(std::map<std::string, NodePtr>* names) const {
    if (!removed.empty()) names->erase(removed);
    if (!set.empty()) (*names)[set] = node;
  }
};

// A file or folder, apart from its names.
struct MemoryFileSystem::Node {
  bool is_folder = false;
  std::string bytes, synced_bytes;                     // of a file
  size_t shortest = 0;                                 // that the file has been since it was synced
  std::map<std::string, NodePtr> names, synced_names;  // of a folder
  std::vector<Change> unsynced;                        // to the folder's names, in order
};

}  // namespace lockstep::testing

#endif  // LOCKSTEP_TESTS_TESTING_MEMORY_NODE_H_
