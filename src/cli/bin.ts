/** Entry point of bin/godwit. */
import { enableCodeCache } from './code-cache.ts';
import { PROCESS_IO } from './io.ts';

// A reader that has seen enough (`godwit … | head`) is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});
enableCodeCache();
// Only what is loaded from here on is kept.
const { main } = await import('./main.ts');
const status = await main(process.argv.slice(2), PROCESS_IO);
await Promise.all([process.stdout, process.stderr].map((stream) => new Promise((done) => stream.write('', done))));
// What a command has left behind does not keep the process: a host daemon can leave threads.
process.exit(status);
