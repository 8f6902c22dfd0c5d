/** The host daemon itself, as the API speaks of it. */
import { z } from 'zod';
import { number, strictObject } from './field.ts';

const RegistrationSchema = z.object({
  state: z
    .enum(['registered', 'waiting', 'refused', 'away'])
    .describe(
      '`waiting`: whether another daemon of its name still lives is not known yet; `refused`: one does; `away`: NATS does not answer.',
    ),
  reason: z.string().nullable().describe('Why it is not registered, and what to do; null: it is.'),
});
export type RegistrationView = z.output<typeof RegistrationSchema>;

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
    bandwidthBytesPerSecond: z
      .number()
      .describe('What all migrations away from here may send together; 0 is unlimited.'),
    dscp: z.number().nullable().describe('Mark of all packets of migrations; null: none is set.'),
    tls: z
      .object({ names: z.array(z.string()), notBeforeMs: z.number(), notAfterMs: z.number() })
      .nullable()
      .describe('The certificate that the migration port shows, Unix milliseconds; null: it speaks no TLS.'),
    registration: RegistrationSchema.nullable().describe(
      'With the controllers of its fleet; null: it does not register.',
    ),
    vms: z.number(),
    runningMigrations: z.number(),
  })
  .meta({ id: 'Host' });

export const TuneHostSchema = strictObject({
  bandwidthBytesPerSecond: number(0, 1e12, 'give bytes a second from 0 (unlimited) to 1e12').describe(
    'What all migrations away from here may send together, at once and until the daemon ends; 0 is unlimited.',
  ),
}).meta({ id: 'TuneHostRequest' });

export type TuneHostBody = z.output<typeof TuneHostSchema>;
export type HostView = z.output<typeof HostSchema>;
