/* The places of texts among distinct ones, which stand in the order in which they are seen first.
 *
 * A text is looked for by its hash, and then compared. Memory takes most of the time here, so what several rows read is
 * fetched before it is used. Hashes have a key that nobody else knows, or somebody could send texts of one hash. Memory
 * comes from the caller; no text is read outside of its buffers.
 */
#include "views.h"

/* Of what only fetches memory: gcc leaves out calls of a function that has no other effect. */
#define ALWAYS_INLINE static inline __attribute__((always_inline))

enum { TOGETHER = 32, MOST_PROBES = 128 };

/* Distinct texts: those of `known`, and then those that are first seen in `texts`, in the rows `first`. */
typedef struct {
  block texts, known;
  const uint8_t *is_null; /* of the texts, a byte for each */
  int32_t *first;
  int32_t *slots; /* the place of a text in the slot that its hash names, or in the next one that is free; -1 there */
  int64_t size;   /* how many there are, a power of two */
  uint64_t *hashes;
  int64_t room, count; /* for distinct texts in hashes and `first`, fewer than slots; and how many there are */
  int64_t null_at;     /* the place of rows that are null; -1 where none was seen */
  uint64_t key;
} distinct_texts;

static uint64_t word_at(const uint8_t *at) {
  uint64_t word;
  memcpy(&word, at, sizeof word);
  return word;
}

static uint64_t mixed(uint64_t one, uint64_t other) {
  unsigned __int128 product = (unsigned __int128)one * other;
  return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* By two words at a time; the last two may begin within those before them, and within each other. */
static uint64_t hash_of(const uint8_t *text, uint32_t length, uint64_t key) {
  enum { WORD = 8, BOTH = 2 * WORD };
  uint8_t padded[WORD] = {0};
  uint64_t hash = mixed(key ^ length, 0x9e3779b97f4a7c15);
  for (uint32_t at = 0; at + BOTH < length; at += BOTH)
    hash = mixed(word_at(text + at) ^ hash, word_at(text + at + WORD) ^ key);
  if (length < WORD) return mixed(word_at(memcpy(padded, text, length)) ^ hash, key);
  const uint8_t *end = text + length, *last = length < BOTH ? text : end - BOTH;
  return mixed(word_at(last) ^ hash, word_at(end - WORD) ^ key);
}

ALWAYS_INLINE void fetch_text(const view *text, const block *in) {
  const uint8_t *start = start_of(text, in);
  if (text->length <= INLINE || !start) return;
  __builtin_prefetch(start);
  __builtin_prefetch(start + 64);
  __builtin_prefetch(start + text->length - 1);
}

/* The hashes of some rows; 0 where a text is nowhere. */
static int hash_rows(const distinct_texts *in, int64_t row, int64_t count, uint64_t *hashes) {
  const view *texts = in->texts.rows + row;
  for (int64_t n = 0; n < count; n++)
    if (!in->is_null[row + n]) fetch_text(&texts[n], &in->texts);
  for (int64_t n = 0; n < count; n++) {
    if (in->is_null[row + n]) continue;
    const uint8_t *start = start_of(&texts[n], &in->texts);
    if (!start) return 0;
    hashes[n] = hash_of(start, texts[n].length, in->key);
    __builtin_prefetch(&in->slots[hashes[n] & (uint64_t)(in->size - 1)]);
  }
  return 1;
}

static const view *text_at(const distinct_texts *in, int32_t place, const block **of) {
  int is_known = place < in->known.height;
  *of = is_known ? &in->known : &in->texts;
  return &(*of)->rows[is_known ? place : in->first[place - in->known.height]];
}

/* Fetch what these hashes are probably those of. */
ALWAYS_INLINE void fetch_likely(const distinct_texts *in, const uint64_t *hashes, int64_t count) {
  const view *likely[TOGETHER];
  const block *of[TOGETHER];
  for (int64_t n = 0; n < count; n++) {
    int32_t place = in->slots[hashes[n] & (uint64_t)(in->size - 1)];
    likely[n] = place < 0 ? 0 : text_at(in, place, &of[n]);
    if (place < 0) continue;
    __builtin_prefetch(&in->hashes[place]);
    __builtin_prefetch(likely[n]);
  }
  for (int64_t n = 0; n < count; n++)
    if (likely[n]) fetch_text(likely[n], of[n]);
}

/* Whether the text of a row is that of a place; one that is nowhere is that of none. */
static int is_at(const distinct_texts *in, int64_t row, int32_t place) {
  const block *others;
  const view *text = &in->texts.rows[row], *other = text_at(in, place, &others);
  if (memcmp(text, other, sizeof text->length + sizeof text->prefix)) return 0;
  const uint8_t *start = start_of(other, others);
  return start && !memcmp(start_of(text, &in->texts), start, text->length);
}

/* The slot with the place of the text of a row, or the free one where it would be; NULL where too many are taken. */
static int32_t *slot_of(const distinct_texts *in, int64_t row, uint64_t hash) {
  for (uint64_t probe = 0; probe < MOST_PROBES; probe++) {
    int32_t *slot = &in->slots[(hash + probe) & (uint64_t)(in->size - 1)];
    if (*slot < 0 || (in->hashes[*slot] == hash && is_at(in, row, *slot))) return slot;
  }
  return 0;
}

static int32_t added(distinct_texts *to, int64_t row, uint64_t hash) {
  to->first[to->count - to->known.height] = (int32_t)row;
  to->hashes[to->count] = hash;
  return (int32_t)to->count++;
}

/* Put all distinct texts into slots, of which each is free. */
void fill_slots(distinct_texts *of) {
  for (int64_t place = 0; place < of->count; place++) {
    uint64_t at = of->hashes[place];
    if (place == of->null_at) continue;
    while (of->slots[at & (uint64_t)(of->size - 1)] >= 0) at++;
    of->slots[at & (uint64_t)(of->size - 1)] = (int32_t)place;
  }
}

/* The places of the rows from `row` on. Returns the row before which there was no more room, or how many rows there are;
 * -1 where a text is nowhere, or too many texts have neighbouring slots. */
int64_t find_texts(distinct_texts *in, int64_t row, int32_t *places) {
  while (row < in->texts.height) {
    uint64_t hashes[TOGETHER] = {0};
    int64_t left = in->texts.height - row, count = left < TOGETHER ? left : TOGETHER;
    if (!hash_rows(in, row, count, hashes)) return -1;
    fetch_likely(in, hashes, count);
    for (int64_t n = 0; n < count; n++, row++) {
      if (in->count == in->room) return row;
      if (in->is_null[row]) {
        if (in->null_at < 0) in->null_at = added(in, row, 0);
        places[row] = (int32_t)in->null_at;
        continue;
      }
      int32_t *slot = slot_of(in, row, hashes[n]);
      if (!slot) return -1;
      if (*slot < 0) *slot = added(in, row, hashes[n]);
      places[row] = *slot;
    }
  }
  return row;
}
