/** Entry point of bin/godwit. */
import { PROCESS_IO } from './io.ts';
import { main } from './main.ts';

// A reader that has seen enough (`godwit … | head`) is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});
process.exitCode = await main(process.argv.slice(2), PROCESS_IO);
