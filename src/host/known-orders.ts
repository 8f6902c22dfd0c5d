/**
 * The orders that this host was given: `orders.json` below the state directory.
 *
 * Owns: which order has begun which migration, and which controller of each fleet leads, as far as is known. Must hold: one order begins one
 * migration, however often it is given, at once or after a restart of the daemon; once this host knows that a controller leads, no order of an
 * earlier one begins anything. Where the file cannot be written that holds as long as the daemon lives.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { type Leader, LeaderSchema, type OrderWords, RequestIdSchema } from '../api/order-schema.ts';
import { explain, GodwitError } from '../base/errors.ts';
import { writeFileAtomically } from './atomic-file.ts';
import type { Logger } from './logger.ts';

const BegunSchema = z.object({
  requestId: RequestIdSchema,
  /** Such as `VM web1`. */
  what: z.string(),
  migration: z.string(),
});
type Begun = z.output<typeof BegunSchema>;

const FileSchema = z.object({ orders: z.array(BegunSchema), leaders: z.array(LeaderSchema) });

/** The newest: an order is repeated within minutes. */
const KEPT_ORDERS = 1000;
const KEPT_FLEETS = 100;

export class KnownOrders {
  readonly #path: string;
  readonly #log: Logger;
  /** Oldest first. */
  readonly #begun = new Map<string, Begun>();
  /** Epochs by fleet, the one that was heard of last at the end. */
  readonly #leaders = new Map<string, number>();
  /** Orders that are just being carried out. */
  readonly #pending = new Map<string, Promise<unknown>>();

  constructor(stateDirectory: string, log: Logger) {
    this.#path = join(stateDirectory, 'orders.json');
    this.#log = log;
    this.#load();
  }

  /** Orders of controllers that led before are refused from now on. @throws GW_ORDER_OUTDATED */
  acknowledge({ fleet, epoch }: Leader): Leader {
    const known = this.#refuseOutdated({ fleet, epoch });
    this.#leaders.delete(fleet);
    this.#leaders.set(fleet, epoch);
    if (epoch > known) this.#save();
    return { fleet, epoch };
  }

  /**
   * @param what - the order is about
   * @param begin - tells `begun` before anything has an effect
   * @param show - what an earlier one has begun
   * @throws GW_ORDER_OUTDATED, GW_INPUT_INVALID, and what `begin` and `show` throw
   */
  async once<T>(
    what: string,
    { requestId, leader }: OrderWords,
    begin: () => Promise<T>,
    show: (migration: string) => T | Promise<T>,
  ): Promise<T> {
    if (leader) this.acknowledge(leader);
    if (requestId === undefined) return await begin();
    // One that fails has begun nothing.
    while (this.#pending.has(requestId)) await this.#pending.get(requestId)!.catch(() => undefined);
    const known = this.#begun.get(requestId);
    if (known && known.what !== what) {
      const fix = `give another one: it was given for ${known.what}`;
      throw new GodwitError('GW_INPUT_INVALID', { field: 'requestId', value: requestId, fix });
    }
    if (known) return await show(known.migration);
    const pending = begin();
    this.#pending.set(requestId, pending);
    try {
      return await pending;
    } finally {
      this.#pending.delete(requestId);
    }
  }

  /** The migration that the order has begun, once it is known whether it does; undefined: none. */
  async migrationOf(requestId: string): Promise<string | undefined> {
    await this.#pending.get(requestId)?.catch(() => undefined);
    return this.#begun.get(requestId)?.migration;
  }

  /**
   * This migration is about to begin by that order.
   * @throws GW_ORDER_OUTDATED when another controller has taken over since it was given: a hook may take minutes
   */
  begun(what: string, { requestId, leader }: OrderWords, migration: string): void {
    if (leader) this.#refuseOutdated(leader);
    if (requestId === undefined) return;
    this.#begun.set(requestId, { requestId, what, migration });
    this.#save();
  }

  /** It did not begin after all. */
  undone({ requestId }: OrderWords): void {
    if (requestId !== undefined && this.#begun.delete(requestId)) this.#save();
  }

  /** @returns the epoch that is known */
  #refuseOutdated({ fleet, epoch }: Leader): number {
    const known = this.#leaders.get(fleet) ?? 0;
    if (epoch < known) throw new GodwitError('GW_ORDER_OUTDATED', { fleet, epoch, known });
    return known;
  }

  #load(): void {
    try {
      const { orders, leaders } = FileSchema.parse(JSON.parse(readFileSync(this.#path, 'utf8')));
      for (const order of orders) this.#begun.set(order.requestId, order);
      for (const { fleet, epoch } of leaders) this.#leaders.set(fleet, epoch);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
      this.#log.error({ path: this.#path, reason: explain(error) }, 'cannot read which orders this host was given');
    }
  }

  #save(): void {
    for (const id of [...this.#begun.keys()].slice(0, -KEPT_ORDERS)) this.#begun.delete(id);
    for (const fleet of [...this.#leaders.keys()].slice(0, -KEPT_FLEETS)) this.#leaders.delete(fleet);
    const leaders = [...this.#leaders].map(([fleet, epoch]): Leader => ({ fleet, epoch }));
    try {
      writeFileAtomically(this.#path, `${JSON.stringify({ orders: [...this.#begun.values()], leaders })}\n`);
    } catch (error) {
      this.#log.error({ path: this.#path, reason: explain(error) }, 'cannot note an order');
    }
  }
}
