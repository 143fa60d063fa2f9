#!/usr/sbin/dtrace -s
/*
 * Who waits for a connection, and how long. What it shows and what to do about it is told in claim-latency.bt.
 *
 *   dtrace -s examples/tracing/claim-latency.d -p PID
 *
 * Ctrl-C tells what became of claims, how long they took, and how often which code had to wait. A claim may end on another
 * thread than it began on, so what is known of it is kept under its number, not in `self->`.
 */

#pragma D option quiet

dtrace:::BEGIN
{
	printf("Tracing claims. Ctrl-C tells.\n");
}

qorb$target:::claim-start
{
	began[arg1] = timestamp;
}

/* The first try is made in the claimer's own call, so this is who waits. Others may make the tries that follow. */
qorb$target:::pool-claim-failed
/began[arg1] && !waits[arg1]/
{
	waits[arg1] = 1;
	@who[copyinstr(arg0), ustack(24)] = count();
}

qorb$target:::claim-done
/began[arg1]/
{
	@latency[copyinstr(arg0)] = quantize((timestamp - began[arg1]) / 1000);
	@claims[copyinstr(arg0), waits[arg1] ? "granted after a wait" : "granted at once"] = count();
	began[arg1] = 0;
	waits[arg1] = 0;
}

qorb$target:::claim-failed
/began[arg1]/
{
	@failed[copyinstr(arg0)] = quantize((timestamp - began[arg1]) / 1000);
	@claims[copyinstr(arg0), copyinstr(arg2)] = count();
	began[arg1] = 0;
	waits[arg1] = 0;
}

dtrace:::END
{
	printf("\nclaims:\n");
	printa("  %-16s %-24s %@12u\n", @claims);
	printf("\ngranted after so many microseconds:\n");
	printa("  %s%@d\n", @latency);
	printf("failed after so many microseconds:\n");
	printa("  %s%@d\n", @failed);
	printf("had to wait, so often:\n");
	printa("  %s%k  %@u\n", @who);
}
