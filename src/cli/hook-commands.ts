// The grammar of `leafctl hook`: what hypervisors run, as packaging/hooks puts it there. The work is imported when it
// is asked for.

import type { Command } from 'commander';
import type { HookOptions } from './hook.ts';
import type { SyncOptions } from './hook-sync.ts';
import type { Bind } from './program.ts';

export function addHookCommands(root: Command, bind: Bind): void {
  const hook = root
    .command('hook')
    .description("run by a hypervisor's hooks: attach, expect, detach its guests");
  hook
    .command('proxmox')
    .description("Proxmox's hookscript: pre-start, post-start, pre-stop, post-stop")
    .argument('<vmid>')
    .argument('<phase>')
    .option('--strict', 'fail where leafd is down or refuses, which keeps the guest from starting')
    .option('--config-dir <path>', 'in place of /etc/pve (or LEAFD_PVE_DIR)')
    .action(
      bind(async (context, vmid: string, phase: string, options: HookOptions) =>
        (await import('./hook.ts')).proxmoxHook(context, [vmid, phase], options),
      ),
    );
  hook
    .command('libvirt')
    .description("libvirt's qemu hook, with the domain's XML on stdin")
    .argument('<name>')
    .argument('<operation>')
    .argument('[suboperation]')
    .argument('[extra]')
    .option('--strict', 'fail where leafd is down or refuses, which keeps the guest from starting')
    .action(
      bind(async (context, name: string, operation: string, _: unknown, __: unknown, options: HookOptions) =>
        (await import('./hook.ts')).libvirtHook(context, [name, operation], options),
      ),
    );
  hook
    .command('sync')
    .description('what runs on this machine now, for what hooks told while leafd was down')
    .option('--config-dir <path>', 'in place of /etc/pve (or LEAFD_PVE_DIR)')
    .option('--libvirt-dir <path>', 'in place of /run/libvirt/qemu')
    .action(
      bind(async (context, options: SyncOptions) =>
        (await import('./hook-sync.ts')).hookSync(context, options),
      ),
    );
}
