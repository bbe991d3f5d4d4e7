#include "runtime/security/identity.h"

#include <algorithm>

#include "absl/strings/string_view.h"
#include "runtime/security/user_database.h"

namespace crisp::runtime {
namespace {

constexpr size_t kMaxGroups = 65536;  // NGROUPS_MAX
constexpr char kNumberRule[] =
    "not a user: decimal 0..4294967294 or a name like [A-Za-z_][A-Za-z0-9_.-]*";

// One side of "user:group": a number, or a name to look up.
struct Who {
  std::optional<uint32_t> id;
  std::string name;
};

struct Wanted {
  std::string field;  // which request field the user came from, for messages
  Who user{.id = 0, .name = ""};
  std::optional<Who> group;
};

StatusOr<Who> ParseWho(absl::string_view field, absl::string_view whole, absl::string_view part) {
  if (const std::optional<uint32_t> id = ParseId(part)) return Who{*id, ""};
  if (IsUserName(part)) return Who{std::nullopt, std::string(part)};
  return InvalidField(field, whole, kNumberRule);
}

StatusOr<uint32_t> CheckId(absl::string_view field, int64_t value) {
  if (value < 0 || value > kMaxId) {
    return InvalidField(field, absl::StrCat(value), "must be 0..4294967294");
  }
  return static_cast<uint32_t>(value);
}

StatusOr<Wanted> ParseImageUser(const std::string& text) {
  Wanted wanted{.field = "image config User"};
  const absl::string_view whole = text;
  const size_t colon = whole.find(':');
  ASSIGN_OR_RETURN(wanted.user, ParseWho(wanted.field, whole, whole.substr(0, colon)));
  if (colon != absl::string_view::npos) {
    ASSIGN_OR_RETURN(wanted.group, ParseWho(wanted.field, whole, whole.substr(colon + 1)));
  }
  return wanted;
}

StatusOr<Wanted> ParseRequest(const UserRequest& request) {
  Wanted wanted;
  if (request.run_as_user && !request.run_as_username.empty()) {
    return InvalidField("run_as_username", request.run_as_username, "run_as_user is set too");
  }
  if (request.run_as_user) {
    wanted.field = "run_as_user";
    ASSIGN_OR_RETURN(wanted.user.id, CheckId(wanted.field, *request.run_as_user));
  } else if (!request.run_as_username.empty()) {
    wanted.field = "run_as_username";
    ASSIGN_OR_RETURN(wanted.user,
                     ParseWho(wanted.field, request.run_as_username, request.run_as_username));
  } else if (request.run_as_group) {
    return InvalidField("run_as_group", absl::StrCat(*request.run_as_group),
                        "needs run_as_user or run_as_username");
  } else if (!request.image_user.empty()) {
    ASSIGN_OR_RETURN(wanted, ParseImageUser(request.image_user));
  }
  if (request.run_as_group) {
    ASSIGN_OR_RETURN(const uint32_t gid, CheckId("run_as_group", *request.run_as_group));
    wanted.group = Who{gid, ""};
  }
  return wanted;
}

StatusOr<std::vector<uint32_t>> CheckSupplemental(const UserRequest& request) {
  if (request.supplemental_groups.size() >= kMaxGroups) {
    return InvalidField("supplemental_groups", absl::StrCat(request.supplemental_groups.size()),
                        "more than 65535 groups");
  }
  std::vector<uint32_t> groups;
  for (const int64_t group : request.supplemental_groups) {
    ASSIGN_OR_RETURN(const uint32_t gid, CheckId("supplemental_groups", group));
    groups.push_back(gid);
  }
  return groups;
}

StatusOr<std::optional<PasswdEntry>> LookUpUser(const std::string& passwd, const Wanted& wanted) {
  if (wanted.user.id) return FindPasswdByUid(passwd, *wanted.user.id);
  ASSIGN_OR_RETURN(std::optional<PasswdEntry> entry, FindPasswdByName(passwd, wanted.user.name));
  if (!entry) {
    return InvalidField(wanted.field, wanted.user.name, "no such user in the image's /etc/passwd");
  }
  return entry;
}

StatusOr<uint32_t> LookUpGroup(const std::string& group_file, const Wanted& wanted) {
  if (wanted.group->id) return *wanted.group->id;
  ASSIGN_OR_RETURN(const std::optional<uint32_t> gid,
                   FindGroupByName(group_file, wanted.group->name));
  if (!gid) {
    return InvalidField(wanted.field, wanted.group->name,
                        "no such group in the image's /etc/group");
  }
  return *gid;
}

std::string HomeOf(const PasswdEntry& entry) {
  const bool usable = !entry.home.empty() && entry.home[0] == '/' && entry.home.size() < 4096;
  return usable ? entry.home : "/";
}

}  // namespace

StatusOr<Identity> ResolveIdentity(int rootfs, const UserRequest& request) {
  ASSIGN_OR_RETURN(const Wanted wanted, ParseRequest(request));
  ASSIGN_OR_RETURN(std::vector<uint32_t> groups, CheckSupplemental(request));
  ASSIGN_OR_RETURN(const std::string passwd, ReadDatabase(rootfs, "etc/passwd"));
  ASSIGN_OR_RETURN(const std::optional<PasswdEntry> entry, LookUpUser(passwd, wanted));

  Identity identity;
  // Without an entry the primary group is 0: the field's custom (Docker, containerd).
  identity.uid = entry ? entry->uid : *wanted.user.id;
  identity.gid = entry ? entry->gid : 0;
  if (entry) identity.home = HomeOf(*entry);

  const bool merge = request.merge_image_groups && entry.has_value();
  const bool by_name = wanted.group && !wanted.group->id;
  std::string group_file;
  if (merge || by_name) {
    ASSIGN_OR_RETURN(group_file, ReadDatabase(rootfs, "etc/group"));
  }
  if (wanted.group) {
    ASSIGN_OR_RETURN(identity.gid, LookUpGroup(group_file, wanted));
  }
  if (merge) {
    ASSIGN_OR_RETURN(const std::vector<uint32_t> more, GroupsOfMember(group_file, entry->name));
    groups.insert(groups.end(), more.begin(), more.end());
  }
  // Always with the primary group: a list without it lifts "group may not" permissions (S23).
  groups.push_back(identity.gid);
  std::sort(groups.begin(), groups.end());
  groups.erase(std::unique(groups.begin(), groups.end()), groups.end());
  if (groups.size() > kMaxGroups) {
    return absl::FailedPreconditionError("user belongs to more than 65536 groups of the image");
  }
  identity.groups = std::move(groups);
  return identity;
}

Status ValidateUserRequest(const UserRequest& request) {
  RETURN_IF_ERROR(ParseRequest(request).status());
  return CheckSupplemental(request).status();
}

}  // namespace crisp::runtime
