/**
 * The changes to the window that must happen at once, as Lua. Those to its numbers answer -1 when the window is lost: state is
 * created by a rebuild from the ledger and by nothing else. A script that fails half-way is not undone by Redis, so each looks
 * first and changes afterwards: arguments that are no numbers answer -3 and change nothing; a window whose own numbers are none
 * was edited by somebody, is given up at once and answers -1.
 */

/** Numbers as HINCRBY reads them, without leading zeros. Fifteen digits are exact in Lua. Sums are Redis's own 64 bits and stay far below their end. */
const LOOK = `
local SUM_MAX, PAIRS_MAX = 4e18, 4096
local function whole(text, digits)
  if type(text) ~= 'string' or #text > digits then return false end
  return text == '0' or string.find(text, '^%-?[1-9]%d*$') ~= nil
end
local function lost() redis.call('DEL', KEYS[1]); return -1 end
local function sums(key, field)
  local held = redis.call('HGET', key, field)
  return not held or (whole(held, 20) and math.abs(tonumber(held)) < SUM_MAX)
end
local function refused(key, from)
  if #ARGV - from + 1 > 2 * PAIRS_MAX or (#ARGV - from + 1) % 2 ~= 0 then return -3 end
  for i = from, #ARGV, 2 do
    if not whole(ARGV[i + 1], 15) then return -3 end
    if not sums(key, ARGV[i]) then return lost() end
  end
end
`;

/**
 * A page was written: it may be copied now. Only the page that is next advances; repeats change nothing. A page that splits its
 * shard opens the two halves in the same step, so that the set of open shards is never empty before its time.
 * KEYS ready, shard, totals, open, listing, then a half's hash each. ARGV seq, cursor, isLast, count, bytes, sid, then a half's sid
 * and cursor each. Answers 1 advanced, 0 known already, -2 pages before it are missing.
 */
export const EMIT = `${LOOK}
if redis.call('EXISTS', KEYS[1]) == 0 then return -1 end
for _, at in ipairs({1, 3, 4, 5}) do if not whole(ARGV[at], 15) then return -3 end end
if #KEYS < 5 or #ARGV ~= 6 + 2 * (#KEYS - 5) then return -3 end
local written = redis.call('HGET', KEYS[2], 'next')
if not whole(written, 15) then return lost() end
local next, seq = tonumber(written), tonumber(ARGV[1])
if seq < next then return 0 end
if seq > next then return -2 end
if redis.call('HEXISTS', KEYS[2], 'last') == 1 then return lost() end
for _, field in ipairs({'listed', 'listedBytes', 'pages', 'shards'}) do if not sums(KEYS[3], field) then return lost() end end
redis.call('HSET', KEYS[2], 'next', seq + 1, 'cursor', ARGV[2])
if ARGV[3] == '1' then
  redis.call('HSET', KEYS[2], 'last', seq)
  redis.call('SREM', KEYS[5], ARGV[6])
end
for i = 6, #KEYS do
  local at = 7 + (i - 6) * 2
  redis.call('HSET', KEYS[i], 'next', 1, 'wm', 0, 'cursor', ARGV[at + 1])
  redis.call('SADD', KEYS[4], ARGV[at])
  redis.call('SADD', KEYS[5], ARGV[at])
  redis.call('HINCRBY', KEYS[3], 'shards', 1)
end
redis.call('HINCRBY', KEYS[3], 'listed', ARGV[4])
redis.call('HINCRBY', KEYS[3], 'listedBytes', ARGV[5])
redis.call('HINCRBY', KEYS[3], 'pages', 1)
return 1
`;

/**
 * Adds what an outcome says: pairs of field and amount, and for a huge object that has none yet `=` and its name. Whatever is of
 * another type than it should be fails before anything is changed.
 */
const TELL = `
local function look(sets) for _, set in ipairs(sets) do redis.call('SCARD', set) end end
local function tell(totals, big, from)
  for i = from, #ARGV, 2 do
    if big and string.sub(ARGV[i], 1, 1) == '=' then redis.call('SADD', big, string.sub(ARGV[i], 2))
    else redis.call('HINCRBY', totals, ARGV[i], ARGV[i + 1]) end
  end
end
local function none(sets)
  for _, set in ipairs(sets) do if redis.call('SCARD', set) > 0 then return false end end
  return true
end
`;

/**
 * A page of epoch 0 has its outcome in the ledger: count it, once, whoever asks and however often. The watermark is the number
 * up to which every page is done; pages done above it wait in a set, so memory is O(window). Its huge objects are open from the
 * same moment on.
 * KEYS ready, shard, outOfOrder, totals, open, big. ARGV sid, seq, then pairs of field and amount.
 * Answers 2 counted and nothing is open any more, 1 counted, 0 counted before, -2 never emitted.
 */
export const COMMIT = `${LOOK}${TELL}
if redis.call('EXISTS', KEYS[1]) == 0 then return -1 end
if not (ARGV[1] and whole(ARGV[2], 15)) then return -3 end
local st = redis.call('HMGET', KEYS[2], 'wm', 'next', 'last')
if not (whole(st[1], 15) and whole(st[2], 15) and (not st[3] or whole(st[3], 15))) then return lost() end
local wm, seq = tonumber(st[1]), tonumber(ARGV[2])
if seq >= tonumber(st[2]) then return -2 end
if seq <= wm or redis.call('SISMEMBER', KEYS[3], seq) == 1 then return 0 end
local refusal = refused(KEYS[4], 3)
if refusal then return refusal end
if not sums(KEYS[4], 'committed') then return lost() end
look({ KEYS[5], KEYS[6] })
redis.call('SADD', KEYS[3], seq)
while redis.call('SREM', KEYS[3], wm + 1) == 1 do wm = wm + 1 end
redis.call('HSET', KEYS[2], 'wm', wm)
redis.call('HINCRBY', KEYS[4], 'committed', 1)
tell(KEYS[4], KEYS[6], 3)
if st[3] and wm == tonumber(st[3]) then
  redis.call('SREM', KEYS[5], ARGV[1])
  if none({ KEYS[5], KEYS[6] }) then return 2 end
end
return 1
`;

/**
 * The same for a page of a retry epoch: membership of the epoch's set is what makes it count once.
 * KEYS ready, retry, totals, open, big. ARGV member, then pairs of field and amount.
 */
export const COMMIT_RETRY = `${LOOK}${TELL}
if redis.call('EXISTS', KEYS[1]) == 0 then return -1 end
if not ARGV[1] then return -3 end
local refusal = refused(KEYS[3], 2)
if refusal then return refusal end
look({ KEYS[4], KEYS[5] })
if redis.call('SREM', KEYS[2], ARGV[1]) == 0 then return 0 end
tell(KEYS[3], KEYS[5], 2)
if none({ KEYS[2], KEYS[4], KEYS[5] }) then return 2 end
return 1
`;

/**
 * A huge object has its outcome in the ledger: membership of the set of open ones is what makes it count once.
 * KEYS ready, big, totals, open, retry, parts. ARGV name, then pairs of field and amount.
 */
export const COMMIT_BIG = `${LOOK}${TELL}
if redis.call('EXISTS', KEYS[1]) == 0 then return -1 end
if not ARGV[1] then return -3 end
local refusal = refused(KEYS[3], 2)
if refusal then return refusal end
look({ KEYS[4], KEYS[5] })
redis.call('HDEL', KEYS[6], ARGV[1])
if redis.call('SREM', KEYS[2], ARGV[1]) == 0 then return 0 end
tell(KEYS[3], nil, 2)
if none({ KEYS[2], KEYS[4], KEYS[5] }) then return 2 end
return 1
`;

/** A lock goes on, or (0) ends, where it is still one's own. KEYS lock. ARGV token, milliseconds. */
export const RENEW = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then return redis.call('DEL', KEYS[1]) end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
`;

/** The last step of a rebuild, where its lock still holds. KEYS lock, ready. ARGV token. */
export const READY = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], '1')
return 1
`;

/**
 * A job of ours says again what it must say, where somebody has edited it. KEYS the job's hash. ARGV its data.
 * What is no hash, and fields that are no JSON, go; the job is given again, or runs with BullMQ's own defaults.
 */
export const MEND_JOB = `
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'none' then return 0 end
if kind ~= 'hash' then return redis.call('DEL', KEYS[1]) end
for _, field in ipairs({ 'opts', 'progress', 'parent' }) do
  local text = redis.call('HGET', KEYS[1], field)
  if text then
    local reads, value = pcall(cjson.decode, text)
    if not reads or (field == 'opts' and type(value) ~= 'table') then redis.call('HDEL', KEYS[1], field) end
  end
end
for _, field in ipairs({ 'ats', 'atm', 'stc', 'delay', 'priority', 'timestamp' }) do
  local text = redis.call('HGET', KEYS[1], field)
  if text and not string.match(text, '^%d+$') then redis.call('HDEL', KEYS[1], field) end
end
if redis.call('HGET', KEYS[1], 'data') == ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'data', ARGV[1])
return 1
`;
