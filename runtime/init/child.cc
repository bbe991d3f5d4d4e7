#include "runtime/init/child.h"

#include <string.h>

namespace crisp::init {
namespace {

size_t Append(char* to, size_t used, size_t capacity, const char* text) {
  while (*text != '\0' && used + 1 < capacity) to[used++] = *text++;
  to[used] = '\0';
  return used;
}

}  // namespace

void Child::Note(const char* text, const char* reason) {
  size_t used = Append(report->text, 0, sizeof(report->text), text);
  if (*reason == '\0') return;
  used = Append(report->text, used, sizeof(report->text), " (");
  used = Append(report->text, used, sizeof(report->text), reason);
  Append(report->text, used, sizeof(report->text), ")");
}

bool RunSteps(Child& child, const ChildStep* steps, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    // Volatile: the launcher reads how far a killed child got.
    *const_cast<volatile int*>(&child.report->step) = static_cast<int>(steps[i].step);
    const int err = steps[i].run(child);
    if (err != 0) {
      child.report->err = err;
      return false;
    }
    child.report->text[0] = '\0';
  }
  return true;
}

}  // namespace crisp::init
