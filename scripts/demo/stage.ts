/**
 * What the demo prints, on stdout alone: coloured in a terminal, plain text in a pipe.
 *
 * Must hold: nothing is printed once the reader has gone; without colours nothing is lost but the colours.
 */
import { styleText } from 'node:util';

type Style = Parameters<typeof styleText>[0];

export class Stage {
  readonly #stream: NodeJS.WriteStream = process.stdout;
  readonly #startedMs = performance.now();
  #isClosed = false;
  #act = 0;

  /** @param onReaderGone - called once, when whoever read this (a pager, `head`) has ended */
  constructor(onReaderGone: () => void) {
    this.#stream.on('error', () => {
      if (!this.#isClosed) onReaderGone();
      this.#isClosed = true;
    });
  }

  title(text: string, explanation: string): void {
    this.#print(`${this.#style('bold', text)}\n${explanation}\n`);
  }

  /** The next step, numbered. */
  act(text: string): void {
    this.#act++;
    const seconds = ((performance.now() - this.#startedMs) / 1000).toFixed(0).padStart(3);
    this.#print(`\n${this.#style(['bold', 'cyan'], `${this.#act}. ${text}`)}  ${this.#style('dim', `${seconds} s`)}\n`);
  }

  say(text: string): void {
    this.#print(`   ${text}\n`);
  }

  /** A command, as one would type it. */
  command(text: string): void {
    this.#print(`   ${this.#style('yellow', `$ ${text}`)}\n`);
  }

  /** A line that the guest wrote. */
  guest(line: string): void {
    this.#print(`   ${this.#style('green', '│')} ${this.#style('green', line)}\n`);
  }

  table(lines: readonly string[]): void {
    const [head = '', ...rows] = lines;
    this.#print(`   ${this.#style('bold', head)}\n`);
    for (const row of rows) this.#print(`   ${row}\n`);
  }

  /** One thing that was to be so, and whether it is. */
  outcome(isGood: boolean, text: string): void {
    const mark = isGood ? this.#style('green', 'yes') : this.#style(['bold', 'red'], 'NO ');
    this.#print(`   ${mark}  ${text}\n`);
  }

  verdict(isGood: boolean, text: string): void {
    this.#print(`\n${this.#style(['bold', isGood ? 'green' : 'red'], text)}\n`);
  }

  #style(style: Style, text: string): string {
    // Knows terminals, NO_COLOR and FORCE_COLOR.
    return styleText(style, text, { stream: this.#stream });
  }

  #print(text: string): void {
    if (!this.#isClosed) this.#stream.write(text);
  }
}
