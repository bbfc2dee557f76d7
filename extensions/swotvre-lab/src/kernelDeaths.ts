/** Kernels that were killed for memory: which are to be told of, and in which words. */

import type { IKernelDeath } from './request';

/** JupyterLab cuts a longer notification off. */
export const LONGEST_MESSAGE = 140;

/** Where a browser keeps short texts: `localStorage`. */
export type TextStore = Pick<Storage, 'getItem' | 'setItem'>;

/** Remembers which deaths the user was told of, in all tabs and after a reload. */
export class ToldDeaths {
  constructor(
    private readonly store: TextStore,
    private readonly key: string
  ) {}

  /**
   * The kernels killed for memory that the user was not told of; from now on he
   * was. Of any other death JupyterLab itself says all that is known.
   */
  takeNew(deaths: readonly IKernelDeath[]): IKernelDeath[] {
    const killed = deaths.filter(death => death.memory);
    const told = (this.store.getItem(this.key) ?? '').split('\n');
    const fresh = killed.filter(death => !told.includes(death.time));
    if (fresh.length > 0) {
      const times = killed.map(death => death.time);
      this.store.setItem(this.key, times.join('\n'));
    }
    return fresh;
  }
}

/** Say that a kernel was killed; a long name is shortened, so that the advice fits. */
export function sayDeath(name: string, memoryGib: number | null): string {
  const memory = memoryGib === null ? '' : ` of ${sayGib(memoryGib)}`;
  const say = (shown: string) =>
    `The kernel of ${shown} was killed: the session's memory${memory} is used up. ` +
    'Close other kernels, or start a larger session.';
  return say(shorten(name, LONGEST_MESSAGE - say('').length));
}

/** Say an amount of memory: "8 GiB", "0.5 GiB". */
function sayGib(gib: number): string {
  return `${Math.round(gib * 10) / 10} GiB`;
}

/** The path of a file in at most so many characters: its own name first, of that its end. */
function shorten(path: string, longest: number): string {
  if (path.length <= longest) {
    return path;
  }
  const name = path.slice(path.lastIndexOf('/') + 1);
  return name.length <= longest ? name : `…${name.slice(1 - longest)}`;
}
