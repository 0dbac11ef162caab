import ai.edgekit.demo.runtime.Classifier;
import ai.edgekit.demo.runtime.ModelFile;
import java.io.File;
import java.io.FileOutputStream;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel.MapMode;
import java.nio.file.Files;
import org.tensorflow.lite.Delegate;
import org.tensorflow.lite.gpu.GpuDelegate;
import org.tensorflow.lite.gpu.GpuDelegateFactory;
import org.tensorflow.lite.nnapi.NnApiDelegate;

/**
 * What the application's classifier answers on a desktop's JVM.
 *
 * <p>Arguments: cpu, gpu or nnapi; then for each model its file, a file of input tensors one after the other, and the
 * file for the scores (float32, little-endian).
 */
public final class Answers {
    private Answers() {}

    public static void main(String[] arguments) throws Exception {
        for (int i = 1; i < arguments.length; i += 3) {
            String name = new File(arguments[i]).getName();
            try {
                System.out.println("ANSWERED " + name + " "
                        + answer(arguments[0], arguments[i], arguments[i + 1], arguments[i + 2]));
            } catch (Exception e) {
                System.out.println("REFUSED " + name + " " + e.getMessage());
            }
        }
    }

    /** Gives how many nodes the delegate took, of how many. */
    private static String answer(String kind, String path, String inputs, String outputs) throws Exception {
        ModelFile model;
        try (RandomAccessFile file = new RandomAccessFile(path, "r")) {
            model = ModelFile.read(file.getChannel().map(MapMode.READ_ONLY, 0, file.length()));
        }
        byte[] examples = Files.readAllBytes(new File(inputs).toPath());
        Delegate delegate = delegate(kind);
        try (Classifier classifier = new Classifier(model, delegate, 2, delegate == null);
                FileOutputStream file = new FileOutputStream(outputs)) {
            int size = classifier.input.capacity();
            for (int start = 0; start < examples.length; start += size) {
                classifier.input.clear();
                classifier.input.put(examples, start, size);
                float[] scores = classifier.run();
                ByteBuffer bytes = ByteBuffer.allocate(4 * scores.length).order(ByteOrder.LITTLE_ENDIAN);
                bytes.asFloatBuffer().put(scores);
                file.write(bytes.array());
            }
            return classifier.delegatedNodes() + " " + classifier.nodes();
        } finally {
            if (delegate != null) {
                delegate.close();
            }
        }
    }

    /** The application's delegates, without asking the list of phones whether their GPU is a good one. */
    private static Delegate delegate(String kind) {
        switch (kind) {
            case "gpu":
                GpuDelegate.Options gpu = new GpuDelegate.Options();
                gpu.setForceBackend(GpuDelegateFactory.Options.GpuBackend.OPENGL); // Mesa has no OpenCL here
                return new GpuDelegate(gpu);
            case "nnapi":
                NnApiDelegate.Options nnapi = new NnApiDelegate.Options();
                nnapi.setAllowFp16(true);
                nnapi.setUseNnapiCpu(false);
                nnapi.setMaxNumberOfDelegatedPartitions(1);
                return new NnApiDelegate(nnapi);
            default:
                return null;
        }
    }
}
