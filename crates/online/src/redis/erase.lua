-- Deletes rows of one entity key, those of all generations, and gives the entries, which stay, new nonces: runs that began on
-- the old ones write no more. ARGV[1] is what the entry at KEYS[1] must say of generations, and where it says something else,
-- nothing is done and the answer is -1; the rest of ARGV is a nonce for each entry. The entries come first in KEYS, then the
-- rows. Returns how many rows there were.
local held = redis.call('GET', KEYS[1]) or ''
local numbers = ''
if #held > 16 and string.byte(held, 17) >= 2 then
  numbers = string.sub(held, 18, 29)
end
if numbers ~= ARGV[1] then
  return -1
end
local entries = #ARGV - 1
for i = 1, entries do
  local entry = redis.call('GET', KEYS[i]) or ''
  local rest = #entry > 16 and string.sub(entry, 17) or string.char(0)
  redis.call('SET', KEYS[i], ARGV[i + 1] .. rest)
end
local gone = 0
for i = entries + 1, #KEYS do
  gone = gone + redis.call('DEL', KEYS[i])
end
return gone
