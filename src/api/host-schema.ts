/** The host daemon itself, as the API speaks of it. */
import { z } from 'zod';

export const HostSchema = z
  .object({
    name: z.string(),
    version: z.string(),
    pid: z.number(),
    startedAtMs: z.number(),
    stateDirectory: z.string(),
    api: z.array(z.string()).describe('Where the API listens.'),
    migration: z.string().describe('HOST:PORT of the migration port.'),
    peers: z.record(z.string(), z.string()),
    vms: z.number(),
    runningMigrations: z.number(),
  })
  .meta({ id: 'Host' });

export type HostView = z.output<typeof HostSchema>;
