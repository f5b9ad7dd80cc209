// Statistics of records as a page for a browser.
#ifndef LOCKSTEP_RUNTIME_DATA_STAT_HTML_H_
#define LOCKSTEP_RUNTIME_DATA_STAT_HTML_H_

#include <string>

#include "runtime/data/columns/statistics.h"

namespace lockstep::data {

// HTML that needs nothing else. Names and values of the data are escaped.
std::string StatisticsPage(const Statistics& statistics);

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_STAT_HTML_H_
