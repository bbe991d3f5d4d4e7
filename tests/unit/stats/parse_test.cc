#include "runtime/stats/parse.h"

#include <gtest/gtest.h>

namespace crisp::runtime {
namespace {

TEST(Parse, Number) {
  EXPECT_EQ(ParseNumber("12\n"), 12u);
  EXPECT_EQ(ParseNumber("18446744073709551615"), UINT64_MAX);
  EXPECT_EQ(ParseNumber("max\n"), kNoLimit);
  for (const char* bad : {"", "\n", "-1", "12x", "18446744073709551616", "99999999999999999999999"})
    EXPECT_EQ(ParseNumber(bad), std::nullopt) << bad;
}

TEST(Parse, MemoryStatV1) {
  uint64_t rss = 7, inactive = 7, absent = 7;
  const bool any = ParseKeyed(
      "cache 10043392\nrss 12681216\ntotal_rss 1459748864\ntotal_inactive_file 814247936\n",
      {{"total_rss", &rss}, {"total_inactive_file", &inactive}, {"no_such", &absent}});
  EXPECT_TRUE(any);
  EXPECT_EQ(rss, 1459748864u);
  EXPECT_EQ(inactive, 814247936u);
  EXPECT_EQ(absent, 7u);
}

TEST(Parse, MemoryStatV2) {
  uint64_t anon = 0, file = 0;
  EXPECT_TRUE(ParseKeyed("anon 401408\nfile 20480\nkernel 98304\nfile_mapped 0\ninactive_file 8",
                         {{"anon", &anon}, {"file", &file}}));
  EXPECT_EQ(anon, 401408u);
  EXPECT_EQ(file, 20480u);
}

TEST(Parse, KeyedTakesNoWordForANumber) {
  uint64_t value = 7;
  for (const char* bad : {"rss", "rss ", "rss x", "rss -1", "rss  1", "rssx 1", " rss 1"})
    EXPECT_FALSE(ParseKeyed(bad, {{"rss", &value}})) << bad;
  EXPECT_EQ(value, 7u);
}

TEST(Parse, Psi) {
  const auto psi = ParsePsi(
      "some avg10=97.17 avg60=91.24 avg300=50.22 total=4770565625\n"
      "full avg10=0.50 avg60=0.00 avg300=0.00 total=12\n");
  ASSERT_TRUE(psi);
  EXPECT_EQ(psi->some.total_nanos, 4770565625000u);
  EXPECT_DOUBLE_EQ(psi->some.avg60, 91.24);
  EXPECT_EQ(psi->full.total_nanos, 12000u);
  EXPECT_DOUBLE_EQ(psi->full.avg10, 0.5);
  // No "full" line for the CPU before 5.13.
  EXPECT_TRUE(ParsePsi("some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"));
  for (const char* bad :
       {"", "some\n", "some avg10=nan avg60=0 avg300=0 total=1", "some avg10=1 avg60=1 avg300=1",
        "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
        "some avg10=-1 avg60=0 avg300=0 total=1"})
    EXPECT_FALSE(ParsePsi(bad)) << bad;
}

TEST(Parse, BlkioV1) {
  const auto io = ParseBlkio(
      "8:0 Read 4096\n8:0 Write 512\n8:0 Sync 0\n8:0 Total 4608\n7:1 Read 1\nTotal 4609\n",
      "8:0 Read 3\n8:0 Write 2\nTotal 5\n");
  ASSERT_EQ(io.size(), 2u);
  EXPECT_EQ(io[0].major, 8u);
  EXPECT_EQ(io[0].read_bytes, 4096u);
  EXPECT_EQ(io[0].write_bytes, 512u);
  EXPECT_EQ(io[0].reads, 3u);
  EXPECT_EQ(io[0].writes, 2u);
  EXPECT_EQ(io[1].minor, 1u);
  EXPECT_EQ(io[1].reads, 0u);
  EXPECT_TRUE(ParseBlkio("Total 0\n", "Total 0\n").empty());
}

TEST(Parse, IoStatV2) {
  const auto io =
      ParseIoStat("254:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n7:0 \nnonsense\n");
  ASSERT_EQ(io.size(), 1u);
  EXPECT_EQ(io[0].major, 254u);
  EXPECT_EQ(io[0].write_bytes, 8192u);
  EXPECT_EQ(io[0].writes, 2u);
}

TEST(Parse, NetDev) {
  const auto all = ParseNetDev(
      "Inter-|   Receive                                                |  Transmit\n"
      " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs "
      "drop "
      "fifo colls carrier compressed\n"
      "    lo: 237506843  113030    0    0    0     0          0         0 237506843  113030    0  "
      "  "
      "0    0     0       0          0\n"
      "  eth0: 10 2 3 4 0 0 0 0 50 6 7 8 0 0 0 0\n"
      "a:b:11 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1\n"
      "short: 1 2 3\n");
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].name, "eth0");
  EXPECT_EQ(all[0].rx_bytes, 10u);
  EXPECT_EQ(all[0].rx_packets, 2u);
  EXPECT_EQ(all[0].rx_errors, 3u);
  EXPECT_EQ(all[0].rx_dropped, 4u);
  EXPECT_EQ(all[0].tx_bytes, 50u);
  EXPECT_EQ(all[0].tx_packets, 6u);
  EXPECT_EQ(all[0].tx_errors, 7u);
  EXPECT_EQ(all[0].tx_dropped, 8u);
  EXPECT_EQ(all[1].name, "a:b");
}

TEST(Parse, SocketsUsed) {
  EXPECT_EQ(ParseSocketsUsed("sockets: used 12\nTCP: inuse 1 orphan 0\n"), 12u);
  EXPECT_EQ(ParseSocketsUsed("TCP: inuse 1\n"), std::nullopt);
}

TEST(Parse, PidsUpToALimit) {
  EXPECT_EQ(ParsePids("1\n22\n0\nx\n-3\n", 10), (std::vector<int>{1, 22, 0}));
  EXPECT_EQ(ParsePids("1\n2\n3\n", 2).size(), 2u);
}

}  // namespace
}  // namespace crisp::runtime
