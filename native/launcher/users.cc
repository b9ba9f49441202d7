#include "users.h"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <optional>

#include "files.h"
#include "frames.h"

namespace launcher {

namespace {

using Lines = std::vector<Texts>;

Texts Split(const std::string& text, char at) {
  Texts parts;
  for (size_t from = 0;;) {
    const size_t to = text.find(at, from);
    parts.push_back(text.substr(from, to - from));
    if (to == std::string::npos) return parts;
    from = to + 1;
  }
}

/** The lines of a file like /etc/passwd that have at least `fields` fields. */
Lines ReadTable(const char* path, size_t fields) {
  Lines lines;
  for (const std::string& line : Split(ReadFile(path), '\n')) {
    Texts parts = Split(line, ':');
    if (parts.size() >= fields) lines.push_back(std::move(parts));
  }
  return lines;
}

std::optional<unsigned> Number(const std::string& text) {
  if (text.empty() || text.size() > 9 || text.find_first_not_of("0123456789") != std::string::npos) return std::nullopt;
  return static_cast<unsigned>(std::strtoul(text.c_str(), nullptr, 10));
}

const Texts* Find(const Lines& table, size_t field, const std::string& value) {
  for (const Texts& line : table) {
    if (line[field] == value) return &line;
  }
  return nullptr;
}

bool IsMember(const std::string& members, const std::string& name) {
  for (const std::string& member : Split(members, ',')) {
    if (member == name) return true;
  }
  return false;
}

/** The groups that name this user. */
std::vector<gid_t> GroupsOf(const std::string& name) {
  std::vector<gid_t> groups;
  for (const Texts& line : ReadTable("/etc/group", 4)) {
    const auto id = Number(line[2]);
    if (id && IsMember(line[3], name)) groups.push_back(*id);
  }
  return groups;
}

}  // namespace

User FindUser(const std::string& spec) {
  const Lines users = ReadTable("/etc/passwd", 6);
  const size_t colon = spec.find(':');
  const std::string name = spec.empty() ? std::to_string(geteuid()) : spec.substr(0, colon);
  const auto number = Number(name);
  const Texts* line = Find(users, 0, name);
  if (line == nullptr && number) line = Find(users, 2, std::to_string(*number));
  const auto id = line != nullptr ? Number((*line)[2]) : number;
  if (!id) throw Failure{0, "there is no user " + name};
  User user{*id, 0, {}, line != nullptr ? (*line)[5] : "/", false};
  if (spec.empty()) {
    user.group = getegid();
    return user;
  }
  if (line != nullptr) {
    user.group = Number((*line)[3]).value_or(0);
    user.groups = GroupsOf((*line)[0]);
  }
  if (colon != std::string::npos) {
    const std::string group = spec.substr(colon + 1);
    const Lines groups = ReadTable("/etc/group", 3);
    const Texts* found = Find(groups, 0, group);
    const auto group_id = found != nullptr ? Number((*found)[2]) : Number(group);
    if (!group_id) throw Failure{0, "there is no group " + group};
    user.group = *group_id;
  }
  user.other = user.id != geteuid() || user.group != getegid();
  if (user.other && geteuid() != 0) throw Failure{EPERM, "only root can run commands as the user " + spec};
  return user;
}

}  // namespace launcher
