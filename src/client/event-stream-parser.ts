/**
 * Decodes a text/event-stream (https://html.spec.whatwg.org/multipage/server-sent-events.html) piece by piece.
 *
 * Must hold: the same events come out however the text is cut; an event larger than the limit is an error, not memory;
 * one that is none is an error of whoever sent it.
 */
import { GodwitError } from '../base/errors.ts';

export interface StreamedEvent {
  readonly id: string;
  readonly event: string;
  readonly data: string;
}

const MAX_EVENT_CHARACTERS = 16 * 1024 * 1024; // a report of 10,000 rounds is below 3 MB

export class EventStreamParser {
  #rest = '';
  #id = '';
  #event = '';
  #data: string[] = [];
  #size = 0;

  push(text: string): StreamedEvent[] {
    const events: StreamedEvent[] = [];
    this.#rest += text;
    // A carriage return at the end may be half of a line end.
    const lines = this.#rest.split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop() ?? '';
    for (const line of lines) {
      if (line === '') {
        if (this.#data.length > 0) {
          events.push({ id: this.#id, event: this.#event || 'message', data: this.#data.join('\n') });
        }
        this.#event = '';
        this.#data = [];
        this.#size = 0;
      } else this.#field(line);
    }
    if (this.#rest.length + this.#size > MAX_EVENT_CHARACTERS) {
      throw new GodwitError('GW_INTERNAL', { reason: 'the host sent an event that is too large' });
    }
    return events;
  }

  #field(line: string): void {
    const colon = line.indexOf(':');
    const name = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? '' : line.slice(colon + 1).replace(/^ /, '');
    this.#size += line.length;
    if (name === 'data') this.#data.push(value);
    else if (name === 'event') this.#event = value;
    else if (name === 'id' && !value.includes('\0')) this.#id = value;
  }
}

/** What the stream carries, as it comes. */
export async function* parseEvents<Event>(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Event> {
  const parser = new EventStreamParser();
  const decoder = new TextDecoder();
  for await (const chunk of chunks) {
    for (const { data } of parser.push(decoder.decode(chunk, { stream: true }))) yield parseEvent(data) as Event;
  }
}

function parseEvent(data: string): object {
  const details = { reason: 'the host sent an event that cannot be read' };
  let event: unknown;
  try {
    event = JSON.parse(data);
  } catch (cause) {
    throw new GodwitError('GW_INTERNAL', details, { cause });
  }
  if (typeof event !== 'object' || event === null) throw new GodwitError('GW_INTERNAL', details);
  return event;
}
