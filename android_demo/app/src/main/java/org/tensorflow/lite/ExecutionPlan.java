package org.tensorflow.lite;

/** Reaches what TensorFlow Lite keeps to its own package: how many nodes an interpreter executes. */
public final class ExecutionPlan {
    private ExecutionPlan() {}

    /** A partition that a delegate took counts as one node. */
    public static int length(Interpreter interpreter) {
        return interpreter.getExecutionPlanLength();
    }
}
