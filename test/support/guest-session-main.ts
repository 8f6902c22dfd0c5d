/**
 * An open TCP connection to the ticker of a Linux guest (guest/linux/network/), in a process of its own because that runs
 * in the client's network namespace: `node guest-session-main.ts ADDRESS PORT`.
 *
 * Tells, for each line on its standard input, what it has seen since the line before, as JSON: see `SeenByClient`.
 */
import { connect } from 'node:net';
import { createInterface } from 'node:readline';

const [address, port] = process.argv.slice(2);
let ticks = 0;
let lastTick = 0;
let lastAtMs = performance.now();
let largestGapMs = 0;
let asked = 0;
let answered = 0;
let pending = '';
const problems: string[] = [];

const socket = connect(Number(port), address);
socket.setNoDelay(true);
socket.on('connect', () => console.log(JSON.stringify({ connected: true })));
socket.on('error', (error) => problems.push(String(error)));
socket.on('close', () => problems.push('the connection was closed'));
socket.on('data', (chunk: Buffer) => {
  const lines = (pending + chunk.toString('latin1')).split('\n');
  pending = lines.pop()!;
  for (const line of lines) takeLine(line);
});

createInterface(process.stdin).on('line', () => {
  console.log(JSON.stringify({ ticks, largestGapMs, asked, answered, problems }));
  ticks = 0;
  largestGapMs = 0;
  // Read by whoever asks next, over the same connection.
  socket.write(`echo ${++asked}\n`);
});
process.stdin.on('close', () => process.exit(0));

function takeLine(line: string): void {
  const [word, number] = line.split(' ');
  if (word === 'echo') {
    if (Number(number) !== ++answered) problems.push(`answer ${number} came where ${answered} was due`);
    return;
  }
  const nowMs = performance.now();
  largestGapMs = lastTick === 0 ? 0 : Math.max(largestGapMs, nowMs - lastAtMs);
  lastAtMs = nowMs;
  ticks++;
  if (word !== 'tick' || Number(number) !== ++lastTick) problems.push(`${line} came where tick ${lastTick} was due`);
}
