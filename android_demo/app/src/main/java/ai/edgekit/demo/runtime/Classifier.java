package ai.edgekit.demo.runtime;

import java.io.Closeable;
import java.nio.Buffer;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.Collections;
import java.util.Locale;
import java.util.Map;
import org.tensorflow.lite.DataType;
import org.tensorflow.lite.Delegate;
import org.tensorflow.lite.ExecutionPlan;
import org.tensorflow.lite.Interpreter;
import org.tensorflow.lite.Tensor;

/** A model ready to run. It belongs to one thread at a time; the delegate stays the caller's, to be closed after it. */
public final class Classifier implements Closeable {
    /** The input tensor, in native order, to be filled before `run`. */
    public final ByteBuffer input;

    private final Spec spec;
    private final int nodes;
    private final Interpreter interpreter;
    private final ByteBuffer output;
    private final Object[] inputs;
    private final Map<Integer, Object> outputs;
    private final DataType outputType;
    private final float outputScale;
    private final int outputZeroPoint;
    private final float[] values;
    private final float[] scores;

    /**
     * Loads the model and checks that its spec fits its tensors.
     *
     * @param delegate what runs the nodes that it can; null for none
     * @param xnnpack whether XNNPACK runs the others
     * @throws ModelFileException TensorFlow Lite or the delegate refuses the model, or its spec is of another one
     */
    public Classifier(ModelFile model, Delegate delegate, int threads, boolean xnnpack) throws ModelFileException {
        spec = model.spec;
        nodes = model.nodes;
        Interpreter.Options options = new Interpreter.Options();
        options.setNumThreads(threads);
        options.setUseXNNPACK(xnnpack);
        if (delegate != null) {
            options.addDelegate(delegate);
        }
        Interpreter opened = null;
        try {
            opened = new Interpreter(model.data, options);
            check(opened.getInputTensorCount() == 1 && opened.getOutputTensorCount() == 1,
                    "it must take one image and give one tensor of scores");
            checkInput(opened.getInputTensor(0), spec.input);
            int[] shape = shape(spec.input);
            if (!Arrays.equals(opened.getInputTensor(0).shape(), shape)) {
                opened.resizeInput(0, shape);
            }
            opened.allocateTensors();
            Tensor scoreTensor = opened.getOutputTensor(0);
            outputType = scoreTensor.dataType();
            outputScale = scoreTensor.quantizationParams().getScale();
            outputZeroPoint = scoreTensor.quantizationParams().getZeroPoint();
            int width = scoreTensor.numElements();
            int labels = spec.labels.size();
            check(width == labels || (width == 1 && labels == 2), "it gives " + width + " scores for " + labels
                    + " labels");
            check(name(outputType).equals(spec.output.dtype), "it gives " + name(outputType) + ", the spec says "
                    + spec.output.dtype);
            input = direct(opened.getInputTensor(0).numBytes());
            output = direct(scoreTensor.numBytes());
            values = new float[width];
            scores = new float[labels];
        } catch (ModelFileException error) {
            close(opened);
            throw error;
        } catch (IllegalArgumentException | IllegalStateException error) {
            close(opened);
            throw new ModelFileException("TensorFlow Lite refuses the model: " + firstLine(error));
        } catch (OutOfMemoryError error) {
            close(opened);
            throw new ModelFileException("The model's input or output is too large for the memory here.");
        }
        interpreter = opened;
        inputs = new Object[] {input};
        outputs = Collections.<Integer, Object>singletonMap(0, output);
    }

    /**
     * Runs the model on `input`.
     *
     * @return the scores by label; the array is reused by the next call
     * @throws ModelFileException the interpreter or the delegate fails
     */
    public float[] run() throws ModelFileException {
        ((Buffer) input).clear();
        ((Buffer) output).clear();
        try {
            interpreter.runForMultipleInputsOutputs(inputs, outputs);
        } catch (IllegalArgumentException | IllegalStateException error) {
            throw new ModelFileException("The model fails when run: " + firstLine(error));
        }
        for (int i = 0; i < values.length; i++) {
            values[i] = value(i);
        }
        Scores.fromOutput(values, spec.output, scores);
        return scores;
    }

    /** How many nodes (operators) the model has. */
    public int nodes() {
        return nodes;
    }

    /**
     * How many of them the delegate took, 0 when the CPU runs all: exact for a delegate that takes one partition, with
     * XNNPACK off. A partition of n nodes makes the execution plan n − 1 shorter; one of a single node counts as none.
     */
    public int delegatedNodes() {
        int shorter = nodes - ExecutionPlan.length(interpreter);
        return shorter <= 0 ? 0 : shorter + 1;
    }

    @Override
    public void close() {
        interpreter.close();
    }

    private float value(int i) {
        int step;
        if (outputType == DataType.FLOAT32) {
            return output.getFloat(4 * i);
        } else if (outputType == DataType.INT16) {
            step = output.getShort(2 * i);
        } else {
            step = outputType == DataType.UINT8 ? output.get(i) & 255 : output.get(i);
        }
        return ((float) step - outputZeroPoint) * outputScale;
    }

    private static void checkInput(Tensor tensor, Spec.Input input) throws SpecException {
        String dtype = name(tensor.dataType());
        check(dtype.equals(input.dtype), "it takes " + dtype + ", the spec says " + input.dtype);
        double scale = tensor.quantizationParams().getScale();
        if (input.quantization != null && scale != 0) {
            check(Math.abs(scale - input.quantization.scale) <= 1e-6 * input.quantization.scale
                            && tensor.quantizationParams().getZeroPoint() == input.quantization.zeroPoint,
                    "their input has another scale or zero point");
        }
    }

    private static int[] shape(Spec.Input input) {
        return input.layout.equals("NCHW")
                ? new int[] {1, input.channels, input.height, input.width}
                : new int[] {1, input.height, input.width, input.channels};
    }

    private static String name(DataType type) {
        return type.name().toLowerCase(Locale.ROOT);
    }

    private static void check(boolean right, String complaint) throws SpecException {
        if (!right) {
            throw new SpecException("The spec does not fit the model: " + complaint + ".");
        }
    }

    private static ByteBuffer direct(int bytes) {
        return ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder());
    }

    private static void close(Interpreter opened) {
        if (opened != null) {
            opened.close();
        }
    }

    static String firstLine(Throwable error) {
        String message = error.getMessage() == null ? error.getClass().getSimpleName() : error.getMessage();
        String line = message.split("\n", 2)[0];
        return Spec.printable(line.substring(0, Math.min(300, line.length())));
    }
}
