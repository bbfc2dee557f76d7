import { Notification } from '@jupyterlab/apputils';
import type { Event } from '@jupyterlab/services';

import { sayDeath, ToldDeaths } from './kernelDeaths';
import type { ISession } from './session';

/** The schema of the server's events about kernels. */
const KERNEL_ACTIONS =
  'https://events.jupyter.org/jupyter_server/kernel_actions/v1';

/**
 * Tells the user which kernels were killed because the session's memory is used
 * up: JupyterLab says only that such a kernel appears to have died.
 */
export class KernelDeathWarner {
  /** `session` is the address of the server: each session has deaths of its own. */
  constructor(session: string) {
    this.told = new ToldDeaths(
      window.localStorage,
      `swotvre-lab:kernel-deaths:${session}`
    );
  }

  /** Look whether a kernel was killed since the last time. */
  look(session: ISession): void {
    const { kernel_deaths: deaths, memory_gib: memory } = session.answer;
    for (const death of this.told.takeNew(deaths)) {
      Notification.error(sayDeath(death.name, memory), { autoClose: false });
    }
  }

  private readonly told: ToldDeaths;
}

/** Whether an event of the server says that a kernel was started again. */
export function isKernelRestart(event: Event.Emission): boolean {
  return event.schema_id === KERNEL_ACTIONS && event['action'] === 'restart';
}
