#include "runtime/data/text/bpe_model.h"

#include <algorithm>
#include <limits>
#include <queue>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "runtime/data/text/byte_level.h"

namespace lockstep::data {
namespace {

constexpr size_t kShortBytes = 48;  // below, scanning all pairs is faster than a heap
constexpr size_t kCachedWords = 1 << 16;
constexpr size_t kCachedWordBytes = 64;

}  // namespace

absl::StatusOr<BpeModel> BpeModel::Create(const TokenizerSpec& spec) {
  BpeModel model;
  absl::flat_hash_map<absl::string_view, int32_t> vocabulary;
  vocabulary.reserve(spec.vocabulary.size());
  for (const auto& [token, id] : spec.vocabulary) vocabulary.emplace(token, id);
  for (int byte = 0; byte < 256; ++byte) {
    const std::string written = WriteByteLevel(std::string(1, static_cast<char>(byte)));
    const auto at = vocabulary.find(written);
    if (at == vocabulary.end()) {
      return DataError(
          absl::StrFormat("the vocabulary has no token for the byte 0x%02x ('%s')", byte, written));
    }
    model.byte_ids_[byte] = at->second;
  }
  model.merges_.reserve(spec.merges.size());
  for (size_t rank = 0; rank < spec.merges.size(); ++rank) {
    const auto& [left, right] = spec.merges[rank];
    const std::string joined = left + right;
    int32_t ids[3];
    for (const auto& [i, token] : {std::pair<int, absl::string_view>{0, left}, {1, right}, {2, joined}}) {
      const auto at = vocabulary.find(token);
      if (at == vocabulary.end()) {
        return DataError(absl::StrCat("merge ", rank, " ('", left, "' and '", right,
                                      "'): the vocabulary has no '", token, "'"));
      }
      ids[i] = at->second;
    }
    model.merges_.insert_or_assign(Key(ids[0], ids[1]), Merge{static_cast<int32_t>(rank), ids[2]});
  }
  if (spec.ignore_merges) {
    for (const auto& [token, id] : spec.vocabulary) {
      if (auto bytes = ReadByteLevel(token)) model.whole_.emplace(*std::move(bytes), id);
    }
  }
  return model;
}

void BpeModel::Encode(absl::string_view word, Cache* cache, std::vector<int32_t>* ids) const {
  if (word.size() == 1) {
    ids->push_back(byte_ids_[static_cast<uint8_t>(word[0])]);
    return;
  }
  const bool cached = word.size() <= kCachedWordBytes;
  if (cached) {
    if (const auto at = cache->words_.find(word); at != cache->words_.end()) {
      const auto first = cache->ids_.begin() + at->second.first;
      ids->insert(ids->end(), first, first + at->second.second);
      return;
    }
  }
  const size_t before = ids->size();
  const auto whole = whole_.find(word);
  if (whole != whole_.end()) {
    ids->push_back(whole->second);
  } else if (word.size() <= kShortBytes) {
    MergeShort(word, ids);
  } else {
    MergeLong(word, ids);
  }
  if (!cached || cache->words_.size() >= kCachedWords) return;
  cache->words_.emplace(word, std::pair(static_cast<uint32_t>(cache->ids_.size()),
                                        static_cast<uint32_t>(ids->size() - before)));
  cache->ids_.insert(cache->ids_.end(), ids->begin() + static_cast<std::ptrdiff_t>(before), ids->end());
}

void BpeModel::MergeShort(absl::string_view word, std::vector<int32_t>* ids) const {
  constexpr int32_t kNone = std::numeric_limits<int32_t>::max();
  int32_t symbols[kShortBytes];
  Merge pairs[kShortBytes];  // pairs[i] is of symbols i and i + 1
  size_t count = word.size();
  const auto look = [&](size_t i) {
    const Merge* merge = Find(symbols[i], symbols[i + 1]);
    pairs[i] = merge != nullptr ? *merge : Merge{kNone, 0};
  };
  for (size_t i = 0; i < count; ++i) symbols[i] = byte_ids_[static_cast<uint8_t>(word[i])];
  for (size_t i = 0; i + 1 < count; ++i) look(i);
  while (count > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < count; ++i) {
      if (pairs[i].rank < pairs[best].rank) best = i;
    }
    if (pairs[best].rank == kNone) break;
    symbols[best] = pairs[best].id;
    std::copy(symbols + best + 2, symbols + count, symbols + best + 1);
    if (best + 2 < count) std::copy(pairs + best + 2, pairs + count - 1, pairs + best + 1);
    --count;
    if (best > 0) look(best - 1);
    if (best + 1 < count) look(best);
  }
  ids->insert(ids->end(), symbols, symbols + count);
}

void BpeModel::MergeLong(absl::string_view word, std::vector<int32_t>* ids) const {
  constexpr size_t kNone = std::numeric_limits<size_t>::max();
  struct Symbol {
    int32_t id;  // -1: merged into the one before
    size_t previous, next;
  };
  struct Candidate {
    int32_t rank;
    size_t place;  // of the left symbol
    int32_t left, right, id;
    bool operator<(const Candidate& other) const {  // the best is the queue's greatest
      return rank != other.rank ? rank > other.rank : place > other.place;
    }
  };
  std::vector<Symbol> symbols(word.size());
  std::priority_queue<Candidate> queue;
  const auto offer = [&](size_t left) {
    const size_t right = symbols[left].next;
    if (right == kNone) return;
    const Merge* merge = Find(symbols[left].id, symbols[right].id);
    if (merge != nullptr) queue.push({merge->rank, left, symbols[left].id, symbols[right].id, merge->id});
  };
  for (size_t i = 0; i < word.size(); ++i) {
    symbols[i] = {byte_ids_[static_cast<uint8_t>(word[i])], i == 0 ? kNone : i - 1,
                  i + 1 == word.size() ? kNone : i + 1};
  }
  for (size_t i = 0; i < word.size(); ++i) offer(i);
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    Symbol& left = symbols[best.place];
    if (left.id != best.left || left.next == kNone || symbols[left.next].id != best.right)
      continue;  // outdated
    symbols[left.next].id = -1;
    left.id = best.id;
    left.next = symbols[left.next].next;
    if (left.next != kNone) symbols[left.next].previous = best.place;
    offer(best.place);
    if (left.previous != kNone) offer(left.previous);
  }
  for (size_t i = 0; i != kNone; i = symbols[i].next) ids->push_back(symbols[i].id);
}

}  // namespace lockstep::data
