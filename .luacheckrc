-- Redis's Lua, and what the scripts in src are given.
std = "lua51"
read_globals = {"KEYS", "ARGV", "redis", "user"}
max_line_length = 100
