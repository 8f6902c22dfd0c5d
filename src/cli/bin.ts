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
process.exitCode = await main(process.argv.slice(2), PROCESS_IO);
